-- The matchups of a report, in the stronger agent's row only.
SELECT matchups.*
FROM matchups
JOIN internal.agent_order AS own USING (format, agent)
JOIN internal.agent_order AS other ON other.format = matchups.format AND other.agent = opponent
WHERE own.place < other.place
ORDER BY own.place, other.place
