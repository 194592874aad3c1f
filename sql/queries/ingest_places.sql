-- Which battle and side each point of view is of, one row each. Those of new battles are numbered from 0 in the order of
-- the logs' rows, else of time; battle_id and batch are the store's where it has the battle already, else NULL.
-- p1 is the player whose name sorts first. alone: the other side's point of view is not known.
-- Reads points, known_points and pairs.
WITH partners AS (
    SELECT format, left_player AS player, left_record AS record, right_player AS other_player, right_record AS other_record
    FROM pairs
    UNION ALL
    SELECT format, right_player, right_record, left_player, left_record
    FROM pairs
),

placed AS (
    SELECT
        points.*,
        partners.other_record,
        coalesce(own.battle_id, other.battle_id) AS battle_id,
        coalesce(own.batch, other.batch) AS batch,
        own.battle_id IS NOT NULL AS known,
        own.name IS NOT NULL AS has_trajectory,
        CASE WHEN points.player <= points.opponent THEN 'p1' ELSE 'p2' END AS side,
        CASE
            WHEN points.player <= points.opponent OR partners.other_record IS NULL THEN points.player || '/' || points.record
            ELSE partners.other_player || '/' || partners.other_record
        END AS battle
    FROM points
    LEFT JOIN partners USING (format, player, record)
    LEFT JOIN known_points AS own
        ON own.format = points.format AND own.player = points.player AND own.record = points.record
    LEFT JOIN known_points AS other
        ON
            other.format = points.format
            AND other.player = partners.other_player
            AND other.record = partners.other_record
),

ordered AS (
    SELECT format, battle, dense_rank() OVER (ORDER BY log, line, played_at, format, battle) - 1 AS number
    FROM (
        SELECT format, battle, min(log) AS log, min(line) AS line, min(played_at) AS played_at
        FROM placed
        WHERE battle_id IS NULL
        GROUP BY format, battle
    )
)

SELECT placed.*, ordered.number, other_record IS NULL AS alone
FROM placed
LEFT JOIN ordered ON placed.battle_id IS NULL AND ordered.format = placed.format AND ordered.battle = placed.battle
