-- The ratings, and how much each is above what it is in `before`, ratings of more battles. $prior as in ratings_with.
SELECT ratings.*, ratings.rating - before.rating AS shift
FROM ratings_with(prior := $prior) AS ratings
LEFT JOIN before USING (format, agent)
ORDER BY format, component, rank, agent
