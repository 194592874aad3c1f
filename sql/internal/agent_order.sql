-- The agents of each format from the strongest to the weakest, for tables and charts in which each must have a place: by
-- rating; the unbeaten come first and the winless last, among themselves and where else there is no comparable rating by the
-- one that a prior of one tie gives.
--
-- format, agent: whose
-- place: from 1
SELECT
    format,
    agent,
    row_number() OVER (
        PARTITION BY format
        ORDER BY
            CASE ratings.status WHEN 'unbeaten' THEN 1 WHEN 'winless' THEN 3 ELSE 2 END,
            CASE WHEN ratings.status = 'rated' THEN ratings.rating ELSE guessed.rating END DESC,
            agent
    ) AS place
FROM main.ratings
JOIN main.ratings_with(prior := 1) AS guessed USING (format, agent)
