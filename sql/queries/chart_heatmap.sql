-- What the heatmap shows: a row an agent and opponent that have met, with both places.
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
    low,
    high
FROM matchups
JOIN places AS own USING (format, agent)
JOIN places AS other ON other.format = matchups.format AND other.agent = opponent
ORDER BY own.place, other.place
