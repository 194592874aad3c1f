-- The runs of kind $kind, the latest first: the columns of pokeladder.store.rows.Run, and whether each is finished.
SELECT
    run_id, kind, format, venue, settings, scheduled, started_at, pokeladder_version, showdown_version,
    finished
FROM runs
WHERE kind = $kind
ORDER BY started_at DESC
