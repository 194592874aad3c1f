-- The battle and side of each perspective to ingest, one row each. New battles are numbered from 0 in the order of the
-- logs' rows, otherwise of time; battle_id and batch are NULL for them. p1 is the player whose name sorts first. alone:
-- the perspective of the other side is unknown. tells: it adds to what the store has. Reads perspectives,
-- all_perspectives and pairs.
WITH partners AS (
    SELECT id, other_id FROM pairs
    UNION ALL
    SELECT other_id, id FROM pairs
),

placed AS (
    SELECT
        perspectives.*,
        own.known_name IS NULL AND perspectives.name IS NOT NULL AS tells_trajectory,
        (own.known_name IS NULL AND perspectives.name IS NOT NULL) OR (own.known_log IS NULL AND perspectives.log IS NOT NULL) AS tells,
        coalesce(own.battle_id, other.battle_id) AS battle_id,
        coalesce(own.batch, other.batch) AS batch,
        CASE
            WHEN own.side IS NOT NULL THEN own.side
            WHEN other.side IS NOT NULL THEN if(other.side = 'p1', 'p2', 'p1')
            -- The spellings of a name may differ, and the two must have different sides.
            WHEN other.id IS NULL OR own.id < other.id THEN if(perspectives.player <= perspectives.opponent, 'p1', 'p2')
            ELSE if(other.player <= other.opponent, 'p2', 'p1')
        END AS side,
        least(own.id, coalesce(other.id, own.id)) AS battle,
        other.id IS NULL AND NOT own.whole AS alone
    FROM perspectives
    JOIN all_perspectives AS own ON own.point = perspectives.point
    LEFT JOIN partners ON partners.id = own.id
    LEFT JOIN all_perspectives AS other ON other.id = partners.other_id
),

ordered AS (
    SELECT battle, dense_rank() OVER (ORDER BY log, line, played_at, battle) - 1 AS number
    FROM (
        SELECT battle, min(log) AS log, min(line) AS line, min(played_at) AS played_at
        FROM placed
        WHERE battle_id IS NULL
        GROUP BY battle
    )
)

SELECT placed.*, ordered.number
FROM placed
LEFT JOIN ordered ON placed.battle_id IS NULL AND ordered.battle = placed.battle
