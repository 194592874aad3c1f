-- Sequential Elo of each agent: its rating after its last battle in elo_progression_with(k, initial).
CREATE MACRO elo_with(k := 32, initial := 1500) AS TABLE
WITH progression AS MATERIALIZED (
    FROM elo_progression_with(k := k, initial := initial)
),
sides AS (
    SELECT format, seq, p1 AS agent, p1_after AS rating FROM progression
    UNION ALL
    SELECT format, seq, p2, p2_after FROM progression
),
latest AS (
    SELECT format, agent, max_by(rating, seq) AS elo, count(*) AS games
    FROM sides
    GROUP BY ALL
)
-- Rounded, so that agents with the same record share a rank whatever the order of the sums.
SELECT format, agent, elo, rank() OVER (PARTITION BY format ORDER BY round(elo, 6) DESC) AS rank, games
FROM latest
ORDER BY format, rank, agent
