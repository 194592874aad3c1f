-- What is kept of each trajectory that has been read until all have been: what `facts` has from its file's name beside
-- what `summaries` says of its document (see trajectory_summaries), with its fault if it has one.
SELECT facts.* EXCLUDE (trajectory_id, format), summaries.* EXCLUDE (trajectory_id) REPLACE (
    coalesce(summaries.format, facts.format, '') AS format
)
FROM facts
JOIN summaries USING (trajectory_id)
