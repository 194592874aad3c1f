-- The runs with trajectories that could not be recorded: run_id and their number. Reads the tables of
-- pokeladder.store.examination.
SELECT run_id, sum(unrecorded)::BIGINT AS missing
FROM battles
WHERE unrecorded > 0
GROUP BY run_id
ORDER BY run_id
