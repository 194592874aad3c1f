-- The view elo with other settings: ratings after each agent's last battle in elo_progression_with(k, initial).
CREATE MACRO elo_with(k := 32, initial := 1500) AS TABLE
SELECT
    format,
    -- Rounded, so that agents with equal results share a rank whatever the order of the sums.
    rank() OVER (PARTITION BY format ORDER BY round(elo, 6) DESC) AS rank,
    agent,
    elo,
    statistics.games,
    wins,
    losses,
    ties,
    win_rate,
    win_rate_low,
    win_rate_high
FROM elo_latest(k, initial)
JOIN statistics USING (format, agent)
ORDER BY format, rank, agent
