-- The summary of a report: one row for each agent, the strongest first. $k and $initial as in elo_with.
SELECT
    place,
    agent,
    ratings.* EXCLUDE (format, agent, games),
    elo,
    glicko,
    deviation AS glicko_deviation,
    gxe,
    statistics.* EXCLUDE (format, agent)
FROM ratings
JOIN internal.agent_order USING (format, agent)
JOIN statistics USING (format, agent)
JOIN glicko USING (format, agent)
JOIN elo_with(k := $k, initial := $initial) AS elos USING (format, agent)
ORDER BY format, place
