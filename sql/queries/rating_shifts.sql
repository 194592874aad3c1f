-- The ratings, and their difference from those in `before`, which are of more battles. $prior as in ratings_with.
SELECT ratings.*, ratings.rating - before.rating AS shift
FROM ratings_with(prior := $prior) AS ratings
LEFT JOIN before USING (format, agent)
ORDER BY format, component, rank, agent
