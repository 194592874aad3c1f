-- Elo beside wins, losses and ties, best agent first; win_rate, low and high as in matchups.
CREATE MACRO standings_with(k := 32, initial := 1500) AS TABLE
SELECT format, rank, agent, elo, statistics.games, wins, losses, ties, win_rate, low, high
FROM elo_with(k := k, initial := initial)
JOIN statistics USING (format, agent)
ORDER BY format, rank, agent
