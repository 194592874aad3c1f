-- Each agent's Elo after its last battle in elo_progression_with(k, initial).
CREATE MACRO elo_latest(k, initial) AS TABLE
WITH progression AS MATERIALIZED (
    FROM elo_progression_with(k := k, initial := initial)
),
sides AS (
    SELECT format, seq, p1 AS agent, p1_after AS rating FROM progression
    UNION ALL
    SELECT format, seq, p2, p2_after FROM progression
)
SELECT format, agent, max_by(rating, seq) AS elo
FROM sides
GROUP BY ALL
