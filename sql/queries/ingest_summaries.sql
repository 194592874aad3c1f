-- What is kept of each trajectory that has been read until all have been: what `facts` has from its file's name beside
-- what `summaries` says of its document (see trajectory_summaries), with its fault if it has one.
SELECT facts.* EXCLUDE (trajectory_id, format), summaries.* EXCLUDE (trajectory_id) REPLACE (
    coalesce(summaries.format, facts.format) AS format,
    CASE
        WHEN fault IS NOT NULL THEN fault
        WHEN NOT coalesce(regexp_full_match(coalesce(summaries.format, facts.format), '[a-z0-9]+'), FALSE)
            THEN 'it does not say in which battle format it was played'
        WHEN won AND lost THEN 'its last state says that both sides have won'
        -- LOSS is also the name of ties, and of battles that were stopped.
        WHEN named_result = 'LOSS' AND won THEN 'its name says LOSS, and its last state that this side has won'
        WHEN named_result = 'WIN' AND lost THEN 'its name says WIN, and its last state that this side has lost'
        WHEN named_result = 'WIN' AND NOT won THEN 'its name says WIN, and its last state that nobody has won'
    END AS fault
)
FROM facts
JOIN summaries USING (trajectory_id)
