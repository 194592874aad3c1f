-- The number of trajectories of battles in scope that could not be recorded. Takes $format, $run, $since and $agents,
-- NULL for any. Other conditions are about trajectories, and cannot be applied to battles without one.
SELECT coalesce(sum(unrecorded), 0)::BIGINT AS unrecorded
FROM battles
WHERE ($format::VARCHAR IS NULL OR format = $format)
    AND ($run::VARCHAR IS NULL OR run_id = $run)
    AND ($since::TIMESTAMP IS NULL OR finished_at >= $since)
    AND ($agents::VARCHAR[] IS NULL OR list_contains($agents, p1) OR list_contains($agents, p2))
