-- The counts of an ingest: battles, those known from one side only, perspectives that the store had, new perspectives of
-- battles that the store had, and the formats of the new battles. Reads places.
SELECT
    count(DISTINCT number) AS battles,
    count(DISTINCT number) FILTER (alone) AS half_known,
    count(*) FILTER (battle_id IS NOT NULL AND name IS NULL) AS already_there,
    count(*) FILTER (battle_id IS NOT NULL AND tells) AS attached,
    string_agg(DISTINCT format, ', ' ORDER BY format) FILTER (number IS NOT NULL) AS formats
FROM places
