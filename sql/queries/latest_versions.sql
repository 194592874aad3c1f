-- Of each of $agents the version that it had last, in whatever run: agent, run_id, version and parts (JSON).
SELECT agent, run_id, version, parts
FROM internal.version_files
WHERE list_contains($agents, agent)
QUALIFY row_number() OVER (PARTITION BY agent ORDER BY recorded_at DESC, run_id DESC) = 1
