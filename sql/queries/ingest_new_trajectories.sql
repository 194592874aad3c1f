-- The trajectories read that are not known. Reads summaries_read and copies.
SELECT * EXCLUDE (fault, named_result)
FROM summaries_read
ANTI JOIN copies USING (name)
WHERE fault IS NULL
