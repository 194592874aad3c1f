-- What each agent did over all its opponents; win_rate, low and high as in matchups.
-- turns are Showdown's, steps are the agent's decisions, invalid_rate is its invalid choices over its steps, where they
-- were counted; forfeits are losses by giving up, timing out, crashing or too many invalid choices.
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
        sum(invalid)::BIGINT AS invalid,
        sum(invalid) / nullif(sum(steps) FILTER (invalid IS NOT NULL), 0) AS invalid_rate,
        count(*) FILTER (result = 'LOSS' AND end_reason IN ('forfeit', 'invalid', 'timeout', 'agent_crash')) AS forfeits
    FROM results
    GROUP BY ALL
)
SELECT *, unnest(wilson(win_rate, games))
FROM totals
ORDER BY format, agent
