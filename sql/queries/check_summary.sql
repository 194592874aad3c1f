-- The faults of a store, one row for each file and reason: whether it is a leftover, kind, file, reason, and number of
-- rows (NULL for the whole file). Reads the table faults of pokeladder.store.examination.
SELECT leftover, kind, file, reason, nullif(count(row), 0) AS rows
FROM faults
GROUP BY ALL
ORDER BY leftover, file, reason
