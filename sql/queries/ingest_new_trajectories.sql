-- The trajectories that have been read. Reads summaries_read.
SELECT * EXCLUDE (fault)
FROM summaries_read
WHERE fault IS NULL
