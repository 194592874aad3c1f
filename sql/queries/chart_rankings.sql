-- What the chart of rankings shows: a row an agent, in the order of places; rating is NULL where it is not finite.
SELECT agent, place, rating, low, high, rank, rank_low, rank_high, games, status
FROM ratings
JOIN places USING (format, agent)
ORDER BY place
