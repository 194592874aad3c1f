-- The places of the files to read, in order: of each name the first, unless a trajectory came with that name or would be
-- exported under it. Reads file_names (place, name).
SELECT min(place) AS place
FROM file_names
ANTI JOIN (
    SELECT name
    FROM trajectories
    WHERE name IS NOT NULL
    UNION ALL
    SELECT metamon_file_name(name, trajectory_id, format, rating, agent, opponent, played_at, result)
    FROM trajectories
    -- A name of seven parts is exported as it is.
    WHERE name IS NULL OR length(name) - length(replace(name, '_', '')) > 6
) AS known USING (name)
GROUP BY name
ORDER BY place
