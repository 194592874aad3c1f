-- What an ingest adds: battles, those of them known from one side, perspectives that the store had, others that it did
-- not have of battles that it had, and the formats of the new battles. Reads places.
SELECT
    count(DISTINCT number) AS battles,
    count(DISTINCT number) FILTER (alone) AS half_known,
    count(*) FILTER (battle_id IS NOT NULL AND name IS NULL) AS already_there,
    count(*) FILTER (battle_id IS NOT NULL AND tells) AS attached,
    string_agg(DISTINCT format, ', ' ORDER BY format) FILTER (number IS NOT NULL) AS formats
FROM places
