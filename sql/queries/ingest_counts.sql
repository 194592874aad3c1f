-- What an ingest adds: battles, those of them known from one side, rows of logs that the store had, trajectories that
-- belong to battles of the store, and the formats of the new battles. Reads places.
SELECT
    count(DISTINCT number) AS battles,
    count(DISTINCT number) FILTER (alone) AS half_known,
    count(*) FILTER (battle_id IS NOT NULL AND name IS NULL) AS already_there,
    count(*) FILTER (battle_id IS NOT NULL AND name IS NOT NULL AND NOT has_trajectory) AS attached,
    string_agg(DISTINCT format, ', ' ORDER BY format) FILTER (number IS NOT NULL) AS formats
FROM places
