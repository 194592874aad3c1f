-- The faults of a store, one row for each file and reason: whether it is only a leftover, kind, file, reason, and how many
-- rows it is about; NULL if the whole file. Reads the table faults of pokeladder.store.check.
SELECT leftover, kind, file, reason, nullif(count(row), 0) AS rows
FROM faults
GROUP BY ALL
ORDER BY leftover, file, reason
