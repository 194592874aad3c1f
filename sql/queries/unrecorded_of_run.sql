-- How many trajectories of run $run were wanted and could not be recorded.
SELECT coalesce(unrecorded, 0) AS unrecorded
FROM runs
WHERE run_id = $run
