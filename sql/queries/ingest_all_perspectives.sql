-- The perspectives of the store and of this ingest, one row each. id is battle and side, or the point if the store does
-- not have it. A perspective that the store has from a log, and that is ingested now as a trajectory, has one row.
-- taken_in is NULL for those of this ingest. Reads perspectives and known_perspectives.
WITH matched AS (
    SELECT perspectives.*, known.battle_id, known.batch, known.side, known.whole, known.name AS known_name, known.log AS known_log
    FROM perspectives
    LEFT JOIN known_perspectives AS known
        ON
            known.format = perspectives.format
            AND known.record = perspectives.record
            AND as_exported(known.player || '_vs_' || known.opponent)
            = as_exported(perspectives.player || '_vs_' || perspectives.opponent)
            AND (known.name IS NULL OR perspectives.name IS NULL)
)

SELECT
    coalesce(battle_id || '/' || side, point) AS id,
    point,
    battle_id,
    batch,
    side,
    coalesce(whole, FALSE) AS whole,
    known_name,
    known_log,
    NULL AS taken_in,
    format, player, opponent, record, result, steps, log, line, played_at, own_signature, other_signature
FROM matched
UNION ALL
SELECT
    battle_id || '/' || side AS id,
    NULL AS point,
    battle_id,
    batch,
    side,
    whole,
    name AS known_name,
    log AS known_log,
    taken_in,
    format, player, opponent, record, result, steps, log, line, played_at, own_signature, other_signature
FROM known_perspectives
ANTI JOIN matched USING (battle_id, side)
