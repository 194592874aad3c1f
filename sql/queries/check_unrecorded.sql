-- The runs that could not record all trajectories that were wanted: run_id, and how many are missing. Reads the tables of
-- pokeladder.store.check.
SELECT run_id, sum(unrecorded)::BIGINT AS missing
FROM battles
WHERE unrecorded > 0
GROUP BY run_id
ORDER BY run_id
