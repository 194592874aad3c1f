-- The files in the export folder, one row each; result and digest are NULL where neither the store nor the folder has
-- them. Reads listed and kept.
SELECT
    format,
    file_name,
    coalesce(any_value(kept.result), any_value(listed.result)) AS result,
    coalesce(any_value(kept.digest), any_value(listed.digest)) AS digest,
    count(kept.format) = 0 AS is_foreign
FROM listed
LEFT JOIN kept USING (format, file_name)
GROUP BY format, file_name
