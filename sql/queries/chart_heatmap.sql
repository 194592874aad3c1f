-- Rows of the heatmap: one for each agent and opponent that have met, with the places of both (see agent_order).
SELECT
    matchups.agent,
    opponent,
    own.place,
    other.place AS opponent_place,
    games,
    wins,
    losses,
    ties,
    win_rate,
    win_rate_low,
    win_rate_high
FROM matchups
JOIN internal.agent_order AS own USING (format, agent)
JOIN internal.agent_order AS other ON other.format = matchups.format AND other.agent = opponent
ORDER BY own.place, other.place
