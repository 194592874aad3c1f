-- One row for each version of an agent. Agents of runs of pokeladder 0.1.0, and imported ones, have none.
--
-- agent: name
-- version: digest of parts
-- parts: JSON object of the digests or values of all that decides how the agent plays
-- runs: number of runs that it played in
-- first_recorded_at, last_recorded_at: when the first and the last session of such a run began (UTC)
SELECT
    agent,
    version,
    any_value(parts) AS parts,
    count(DISTINCT run_id) AS runs,
    make_timestamp(epoch_us(min(recorded_at))) AS first_recorded_at,
    make_timestamp(epoch_us(max(recorded_at))) AS last_recorded_at
FROM internal.version_files
GROUP BY agent, version
ORDER BY agent, first_recorded_at
