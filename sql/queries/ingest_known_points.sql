-- Points of view of imported battles in the store, one row each, with the battle and side that they belong to. Of a
-- battle that is known from one side only there is one; whole says whether both are known.
WITH sides AS (
    SELECT
        battles.*,
        side,
        CASE side WHEN 'p1' THEN p1_record ELSE p2_record END AS own,
        CASE side WHEN 'p1' THEN p2_record ELSE p1_record END AS other
    FROM battles
    CROSS JOIN (VALUES ('p1'), ('p2')) AS sides (side)
    WHERE kind = 'import'
)

SELECT
    battle_id,
    batch,
    side,
    sides.format,
    regexp_extract(own, '^(.*)/([^/]*)$', 1) AS player,
    regexp_extract(own, '^(.*)/([^/]*)$', 2) AS record,
    regexp_extract(other, '^(.*)/([^/]*)$', 1) AS opponent,
    NOT ends_with(other, '/') AS whole,
    CASE WHEN winner IS NULL THEN 'TIE' WHEN winner = side THEN 'WIN' ELSE 'LOSS' END AS result,
    CASE side WHEN 'p1' THEN p1_steps ELSE p2_steps END AS steps,
    trajectory_files.name,
    trajectory_files.played_at,
    trajectory_files.own_signature,
    trajectory_files.other_signature
FROM sides
LEFT JOIN trajectory_files USING (battle_id, batch, side)
WHERE NOT ends_with(own, '/')
