-- The rows of an ingested trajectory before pairing: the columns of `facts`, from its name, and of `summaries` (see
-- trajectory_summaries), with its fault, if there is one.
SELECT facts.* EXCLUDE (trajectory_id, format), summaries.* EXCLUDE (trajectory_id) REPLACE (
    coalesce(summaries.format, facts.format) AS format,
    CASE
        WHEN fault IS NOT NULL THEN fault
        WHEN NOT coalesce(regexp_full_match(coalesce(summaries.format, facts.format), '[a-z0-9]+'), FALSE)
            THEN 'it has no battle format'
        WHEN won AND lost THEN 'both sides have won in its last state'
        -- Ties and stopped battles have LOSS, too.
        WHEN named_result = 'LOSS' AND won THEN 'its name has LOSS, but the side has won in its last state'
        WHEN named_result = 'WIN' AND lost THEN 'its name has WIN, but the side has lost in its last state'
        WHEN named_result = 'WIN' AND NOT won THEN 'its name has WIN, but no side has won in its last state'
    END AS fault
)
FROM facts
JOIN summaries USING (trajectory_id)
