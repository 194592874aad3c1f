-- The positions of the files to read, in order: the first of each name, unless a trajectory of the store has the name, or
-- is exported under it. Reads file_names (place, name).
SELECT min(place) AS place
FROM file_names
ANTI JOIN (
    SELECT name
    FROM trajectories
    WHERE name IS NOT NULL
    UNION ALL
    SELECT metamon_file_name(name, trajectory_id, format, rating, agent, opponent, played_at, result)
    FROM trajectories
    -- Exports do not change a name of seven parts.
    WHERE name IS NULL OR length(name) - length(replace(name, '_', '')) > 6
) AS known USING (name)
GROUP BY name
ORDER BY place
