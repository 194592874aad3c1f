-- The rows of elo_results_statistics.csv, best agent first. Total Battles includes ties, and a tie is half a win in Win
-- Rate. Takes $k and $initial, for the order.
SELECT
    agent AS "Model",
    elo.wins AS "Wins",
    elo.losses AS "Losses",
    elo.games AS "Total Battles",
    format('{:.1f}%', 100 * elo.win_rate) AS "Win Rate",
    round(avg_turns, 1) AS "Avg Turn Count"
FROM elo_with(k := $k, initial := $initial) AS elo
JOIN statistics USING (format, agent)
ORDER BY format, rank, agent
