-- No rows where `pokeladder.duckdb` is the file at `place`; where a copy of it is attached from elsewhere, an error that says
-- so, since its views hold the full paths of the files that they read.
--   mark: what only the views of this file have in their text: by it a copy is known under any name
-- DuckDB 1.5 resolves the paths that it is given; 1.4 keeps them as they are, relative ones and symbolic links, too.
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
