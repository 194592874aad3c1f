-- The table of matchups of a report: the stronger agent's row only.
SELECT matchups.*
FROM matchups_with() AS matchups
JOIN places AS own USING (format, agent)
JOIN places AS other ON other.format = matchups.format AND other.agent = opponent
WHERE own.place < other.place
ORDER BY own.place, other.place
