-- The perspectives by which the store knows imported battles, one row for each battle and side, from its trajectory and
-- its row of a log, whenever these were ingested. whole: whether the battle is known from both sides.
SELECT
    battle_id,
    batch,
    side,
    perspective_files.format,
    any_value(player) AS player,
    any_value(opponent) AS opponent,
    any_value(record) AS record,
    coalesce(max(result) FILTER (name IS NOT NULL), max(result)) AS result,
    coalesce(max(perspective_files.steps) FILTER (name IS NOT NULL), max(perspective_files.steps)) AS steps,
    max(log) AS log,
    max(line) AS line,
    max(name) AS name,
    max(make_timestamp(epoch_us(played_at))) AS played_at,
    max(own_signature) AS own_signature,
    max(other_signature) AS other_signature,
    min(runs.started_at) AS taken_in,
    count(*) OVER (PARTITION BY battle_id) = 2 AS whole
FROM internal.perspective_files
JOIN battles USING (battle_id, batch)
LEFT JOIN runs ON runs.run_id = perspective_files.run_id
GROUP BY battle_id, batch, side, perspective_files.format
