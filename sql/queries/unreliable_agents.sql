-- The agents of whose decisions over 5% were invalid, so that a random choice was played instead: format, agent, invalid_rate.
SELECT format, agent, invalid_rate
FROM statistics
WHERE invalid_rate > 0.05
ORDER BY format, agent
