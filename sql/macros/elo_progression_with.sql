-- Every rated battle with both ratings before and after it. Rated within each format, in the order of finished_at
-- and then battle_id; seq counts a format's battles from 1. The rows come in no order of their own.
CREATE MACRO elo_progression_with(k := 32, initial := 1500) AS TABLE
WITH ordered AS MATERIALIZED (
    SELECT
        format,
        row_number() OVER (PARTITION BY format ORDER BY finished_at, battle_id) AS seq,
        battle_id, p1, p2, score
    FROM rated_battles
),
agents AS MATERIALIZED (
    SELECT format, agent, row_number() OVER (PARTITION BY format ORDER BY agent) AS number
    FROM (SELECT DISTINCT format, unnest([p1, p2]) AS agent FROM ordered)
),
listed AS (
    SELECT
        ordered.format,
        list({'p1': first.number, 'p2': second.number, 'score': score} ORDER BY seq) AS games,
        max(greatest(first.number, second.number)) AS agents
    FROM ordered
    JOIN agents AS first ON first.format = ordered.format AND first.agent = p1
    JOIN agents AS second ON second.format = ordered.format AND second.agent = p2
    GROUP BY ordered.format
),
folded AS (
    SELECT format, games, elo_fold(games, agents, k, initial) AS ratings
    FROM listed
),
rated AS (
    SELECT format, unnest(range(1, len(games) + 1)) AS seq, unnest(ratings) AS ratings
    FROM folded
)
SELECT
    format, seq, battle_id, p1, p2, score,
    ratings.p1_before, ratings.p1_after, ratings.p2_before, ratings.p2_after
FROM ordered
JOIN rated USING (format, seq)
