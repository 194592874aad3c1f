-- The files that hold no trajectory, and why. Reads summaries_read.
SELECT source, fault
FROM summaries_read
WHERE fault IS NOT NULL
ORDER BY source
