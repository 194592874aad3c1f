-- The agents of run $run and their versions in its latest session: agent, run_id, version and parts (JSON).
SELECT agent, run_id, version, parts
FROM internal.version_files
WHERE run_id = $run
QUALIFY row_number() OVER (PARTITION BY agent ORDER BY recorded_at DESC) = 1
