-- The number of trajectories of run $run that could not be recorded.
SELECT coalesce(unrecorded, 0) AS unrecorded
FROM runs
WHERE run_id = $run
