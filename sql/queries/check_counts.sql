-- What a store holds, in one row: battles, trajectories, documents and runs. Reads the tables of pokeladder.store.check.
SELECT
    (SELECT count(*) FROM battles) AS battles,
    (SELECT count(*) FROM trajectories) AS trajectories,
    (SELECT count(*) FROM documents) AS documents,
    (SELECT count(*) FROM runs) AS runs
