-- Elo beside wins, losses and ties, best agent first; win_rate and its interval as in matchups.
CREATE MACRO standings_with(k := 32, initial := 1500) AS TABLE
SELECT format, rank, agent, elo, statistics.games, wins, losses, ties, win_rate, win_rate_low, win_rate_high
FROM elo_with(k := k, initial := initial)
JOIN statistics USING (format, agent)
ORDER BY format, rank, agent
