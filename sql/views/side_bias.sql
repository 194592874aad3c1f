-- Whether p1 does better than p2, whoever they are: p1's results over all battles that count, win_rate with its 95% Wilson
-- interval. 0.5 lies outside of it where a side has an advantage, given that agents played both equally often.
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
