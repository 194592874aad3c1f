-- The versions of each agent, one row each: version (a digest of what decides how it plays), parts (what was looked at, and its
-- digest or value, as JSON), in how many runs it played, and from when to when such runs or sessions of them began (UTC).
-- Agents of runs of pokeladder 0.1.0, and imported ones, have no version.
SELECT
    agent,
    version,
    any_value(parts) AS parts,
    count(DISTINCT run_id) AS runs,
    make_timestamp(epoch_us(min(recorded_at))) AS first_recorded_at,
    make_timestamp(epoch_us(max(recorded_at))) AS last_recorded_at
FROM version_files
GROUP BY agent, version
ORDER BY agent, first_recorded_at
