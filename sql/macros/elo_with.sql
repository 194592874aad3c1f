-- Sequential Elo of each agent: its rating after its last battle in elo_progression_with(k, initial).
CREATE MACRO elo_with(k := 32, initial := 1500) AS TABLE
-- Rounded, so that agents with the same record share a rank whatever the order of the sums.
SELECT format, agent, elo, rank() OVER (PARTITION BY format ORDER BY round(elo, 6) DESC) AS rank, games
FROM elo_latest(k, initial)
ORDER BY format, rank, agent
