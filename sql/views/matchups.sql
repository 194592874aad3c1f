-- How each agent fared against each opponent; a matchup has two rows, one in either order.
--
-- format, agent, opponent: whose matchup
-- games, wins, losses, ties: of the agent
-- win_rate: mean score, a tie being half a win
-- win_rate_low, win_rate_high: its 95% Wilson interval
WITH decided AS (
    -- Counted before both sides are taken, so that two rows a battle are not made.
    SELECT format, p1, p2, winner, count(*) AS games FROM rated_battles GROUP BY ALL
),
sides AS (
    SELECT format, p1 AS agent, p2 AS opponent, winner = 'p1' AS won, games FROM decided
    UNION ALL
    SELECT format, p2 AS agent, p1 AS opponent, winner = 'p2' AS won, games FROM decided
),
totals AS (
    SELECT
        format,
        agent,
        opponent,
        sum(games)::BIGINT AS games,
        coalesce(sum(games) FILTER (won), 0)::BIGINT AS wins,
        coalesce(sum(games) FILTER (NOT won), 0)::BIGINT AS losses,
        coalesce(sum(games) FILTER (won IS NULL), 0)::BIGINT AS ties
    FROM sides
    GROUP BY ALL
)
SELECT *, (wins + ties / 2) / games AS win_rate, unnest(wilson(win_rate, games))
FROM totals
ORDER BY format, agent, opponent
