-- The results of side p1 over all battles that count. If agents played both sides equally often, an interval without 0.5
-- shows an advantage of a side.
--
-- format: the battle format
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
