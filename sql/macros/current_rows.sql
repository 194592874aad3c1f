-- The rows of the files that the glob `files` finds, with their `filename`, but of those that count: neither old ones that were
-- merged nor new ones that are not yet to take their place (see pokeladder.store.rows.Merge). merge_files is read once, so
-- that one moment decides, and after the files are listed. With `mixed` a file may lack columns, which are NULL then: each
-- file's columns are looked at before any row is read.
CREATE MACRO current_rows(files, mixed) AS TABLE
SELECT *
FROM read_parquet(files, hive_partitioning := FALSE, filename := TRUE, union_by_name := mixed)
-- As an anti join it would be the rows of the files that are hashed.
WHERE filename LIKE '%.parquet'
    AND filename NOT IN (
        SELECT
            regexp_extract(filename, '^(.*/)merges/[^/]*$', 1)
            || CASE WHEN bool_or(done) OVER (PARTITION BY merged) THEN file ELSE merged END
        FROM internal.merge_files
    )
