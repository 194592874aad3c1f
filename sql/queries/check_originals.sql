-- The files that broken ones were merged from. Reads the tables of pokeladder.store.check and faults.
SELECT DISTINCT old AS file
FROM merges
SEMI JOIN faults ON faults.file = merges.merged
ORDER BY file
