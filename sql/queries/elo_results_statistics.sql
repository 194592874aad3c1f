-- The rows of elo_results_statistics.csv, best agent first. Total Battles includes ties, and a tie is half a win in
-- Win Rate, as everywhere. Takes $k and $initial, for the order only.
SELECT
    agent AS "Model",
    statistics.wins AS "Wins",
    statistics.losses AS "Losses",
    statistics.games AS "Total Battles",
    format('{:.1f}%', 100 * statistics.win_rate) AS "Win Rate",
    round(statistics.avg_turns, 1) AS "Avg Turn Count"
FROM statistics
JOIN elo_with(k := $k, initial := $initial) AS elo USING (format, agent)
ORDER BY format, rank, agent
