-- The files that readers do not use, as in macros/current_rows.sql. Reads the tables of pokeladder.store.examination.
SELECT DISTINCT CASE WHEN bool_or(done) OVER (PARTITION BY merged) THEN old ELSE merged END AS file
FROM merges
