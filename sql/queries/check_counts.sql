-- The content of a store, in one row: numbers of battles, trajectories, documents and runs. Reads the tables of
-- pokeladder.store.examination.
SELECT
    (SELECT count(*) FROM battles) AS battles,
    (SELECT count(*) FROM trajectories) AS trajectories,
    (SELECT count(*) FROM documents) AS documents,
    (SELECT count(*) FROM runs) AS runs
