-- The rows of the files that match the glob `files` and that readers must use, with their `filename`: not those of merged
-- old files, nor of new files that are not valid yet (see pokeladder.store.rows.Merge). merge_files is read once, after
-- the files are listed, so that one moment decides. With `mixed` a file may lack columns, which are NULL then; the
-- columns of every file are read first.
CREATE MACRO current_rows(files, mixed) AS TABLE
SELECT *
FROM read_parquet(files, hive_partitioning := FALSE, filename := TRUE, union_by_name := mixed)
-- An anti join would hash the rows of the files.
WHERE filename LIKE '%.parquet'
    AND filename NOT IN (
        SELECT
            regexp_extract(filename, '^(.*/)merges/[^/]*$', 1)
            || CASE WHEN bool_or(done) OVER (PARTITION BY merged) THEN file ELSE merged END
        FROM internal.merge_files
    )
