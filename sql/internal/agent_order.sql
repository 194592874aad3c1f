-- The agents of each format from the strongest to the weakest, for tables and charts: by rating, the unbeaten first and the
-- winless last. Agents without a comparable rating are ordered by the rating with a prior of one tie.
--
-- format, agent: the agent, and the format of its battles
-- place: position, from 1
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
