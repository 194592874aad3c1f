-- The rows of battle logs, by position, that belong to a trajectory in `copies` and to no perspective in
-- known_perspectives. Reads log_rows.
SELECT source, line
FROM log_rows AS log
SEMI JOIN copies
    ON
        copies.format = log.format
        AND copies.record = log.record
        AND as_exported(copies.player || '_vs_' || copies.opponent) = as_exported(log.player || '_vs_' || log.opponent)
ANTI JOIN known_perspectives AS known
    ON
        known.format = log.format
        AND known.record = log.record
        AND as_exported(known.player || '_vs_' || known.opponent) = as_exported(log.player || '_vs_' || log.opponent)
