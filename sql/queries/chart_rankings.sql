-- Rows of the chart of rankings: one for each agent, the strongest first (see agent_order). rating is NULL where it is
-- not finite.
SELECT agent, place, rating, low, high, rank, rank_low, rank_high, games, status
FROM ratings
JOIN internal.agent_order USING (format, agent)
ORDER BY place
