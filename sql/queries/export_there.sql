-- The files in the folder of an export, one row each; result and digest are NULL where the store has no such trajectory and
-- the folder does not tell. Reads listed and kept.
SELECT
    format,
    file_name,
    coalesce(any_value(kept.result), any_value(listed.result)) AS result,
    coalesce(any_value(kept.digest), any_value(listed.digest)) AS digest,
    count(kept.format) = 0 AS is_foreign
FROM listed
LEFT JOIN kept USING (format, file_name)
GROUP BY format, file_name
