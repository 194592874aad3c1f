-- The files that do not count, as in macros/current_rows.sql. Reads the tables of pokeladder.store.check.
SELECT DISTINCT CASE WHEN bool_or(done) OVER (PARTITION BY merged) THEN old ELSE merged END AS file
FROM merges
