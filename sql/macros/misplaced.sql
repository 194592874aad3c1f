-- No rows if `pokeladder.duckdb` is the file at `place`. If a copy of it is attached, an error with a remedy, since its
-- views contain the full paths of the files that they read.
--   mark: a text that only the views of this file contain, by which a copy is recognised
-- DuckDB 1.5 resolves given paths; 1.4 keeps relative ones and symbolic links.
CREATE MACRO misplaced(place, mark) AS TABLE
SELECT
    error(
        'this database is ' || coalesce(path, 'not in a file') || ', and its views read the store of ' || place
        || ': if the store was copied or moved here, open it once with pokeladder (pokeladder --store FOLDER check); if both'
        || ' are one file, open it as ' || place
    )::VARCHAR AS reason
FROM duckdb_databases()
JOIN duckdb_views() AS made USING (database_oid)
WHERE made.view_name = 'merge_files'
    AND contains(made.sql, mark)
    AND coalesce(regexp_replace(path, '/(\.?/)+', '/', 'g'), '') <> place
