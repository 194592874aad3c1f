-- The agents of the table overview with more than 5% invalid decisions, which random choices replaced: format, agent,
-- invalid_rate.
WITH sides AS (
    SELECT format, p1 AS agent, p1_steps AS steps, p1_invalid AS invalid FROM overview
    UNION ALL
    SELECT format, p2, p2_steps, p2_invalid FROM overview
)

SELECT format, agent, sum(invalid) / nullif(sum(steps), 0) AS invalid_rate
FROM sides
GROUP BY format, agent
HAVING sum(invalid) > 0.05 * sum(steps)
ORDER BY format, agent
