-- The latest version of each of $agents in any run: agent, run_id, version and parts (JSON).
SELECT agent, run_id, version, parts
FROM internal.version_files
WHERE list_contains($agents, agent)
QUALIFY row_number() OVER (PARTITION BY agent ORDER BY recorded_at DESC, run_id DESC) = 1
