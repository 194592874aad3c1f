-- Totals of each agent over all opponents.
--
-- format, agent: the agent, and the format of its battles
-- games, wins, losses, ties: of the agent
-- win_rate: mean score, a tie being half a win
-- avg_turns, avg_steps: mean of Showdown's turns, and of the agent's decisions
-- steps: number of decisions
-- invalid_actions: number of decisions whose first choice was illegal, where they were counted
-- invalid_rate: invalid decisions over the decisions of battles in which they were counted
-- forfeits: losses by giving up, timing out, crashing or too many invalid decisions
-- win_rate_low, win_rate_high: 95% Wilson interval of win_rate
WITH totals AS (
    SELECT
        format,
        agent,
        count(*) AS games,
        count(*) FILTER (result = 'WIN') AS wins,
        count(*) FILTER (result = 'LOSS') AS losses,
        count(*) FILTER (result = 'TIE') AS ties,
        avg(score) AS win_rate,
        avg(turns) AS avg_turns,
        avg(steps) AS avg_steps,
        sum(steps)::BIGINT AS steps,
        sum(invalid_actions)::BIGINT AS invalid_actions,
        sum(results.invalid_actions) / nullif(sum(steps) FILTER (results.invalid_actions IS NOT NULL), 0) AS invalid_rate,
        count(*) FILTER (result = 'LOSS' AND end_reason IN ('forfeit', 'invalid', 'timeout', 'agent_crash')) AS forfeits
    FROM results
    GROUP BY ALL
)
SELECT *, unnest(wilson(win_rate, games))
FROM totals
ORDER BY format, agent
