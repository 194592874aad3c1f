-- Whether p1 does better than p2, whoever they are: p1's results over all battles that count. 0.5 lies outside of the interval
-- where a side has an advantage, given that agents played both equally often.
--
-- format: of which battles
-- games, wins, losses, ties: of p1
-- win_rate: mean score, a tie being half a win
-- win_rate_low, win_rate_high: its 95% Wilson interval
WITH totals AS (
    SELECT
        format,
        count(*) AS games,
        count(*) FILTER (score = 1) AS wins,
        count(*) FILTER (score = 0) AS losses,
        count(*) FILTER (score = 0.5) AS ties,
        avg(score) AS win_rate
    FROM rated_battles
    GROUP BY format
)

SELECT *, unnest(wilson(win_rate, games))
FROM totals
ORDER BY format
