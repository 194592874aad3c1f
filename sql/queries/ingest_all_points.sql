-- Points of view of the store and of this ingest, one row each; id is the battle and side, or the point if that is not in
-- the store. One that the store knows from a log, say, and that now comes as a trajectory, is one. taken_in is NULL for
-- what comes now. Reads points and known_points.
WITH matched AS (
    SELECT points.*, known.battle_id, known.batch, known.side, known.whole, known.name AS known_name, known.log AS known_log
    FROM points
    LEFT JOIN known_points AS known
        ON
            known.format = points.format
            AND known.record = points.record
            AND as_exported(known.player || '_vs_' || known.opponent)
            = as_exported(points.player || '_vs_' || points.opponent)
            AND (known.name IS NULL OR points.name IS NULL)
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
FROM known_points
ANTI JOIN matched USING (battle_id, side)
