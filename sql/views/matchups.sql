-- How each agent fared against each opponent; a matchup has two rows, one in either order.
-- win_rate is the mean score, a tie being half a win; low and high are its 95% Wilson interval.
WITH totals AS (
    SELECT
        format,
        agent,
        opponent,
        count(*) AS games,
        count(*) FILTER (result = 'WIN') AS wins,
        count(*) FILTER (result = 'LOSS') AS losses,
        count(*) FILTER (result = 'TIE') AS ties,
        avg(score) AS win_rate
    FROM results
    GROUP BY ALL
)
SELECT *, unnest(wilson(win_rate, games))
FROM totals
ORDER BY format, agent, opponent
