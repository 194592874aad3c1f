-- The files from which broken files were merged. Reads the tables of pokeladder.store.examination, and faults.
SELECT DISTINCT old AS file
FROM merges
SEMI JOIN faults ON faults.file = merges.merged
ORDER BY file
