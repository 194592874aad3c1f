-- The files without a valid trajectory, and the reasons. Reads summaries_read.
SELECT source, fault
FROM summaries_read
WHERE fault IS NOT NULL
ORDER BY source
