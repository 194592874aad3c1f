-- The rows of battle logs to ingest, one for each perspective. Reads log_rows and copied_rows.
SELECT DISTINCT ON (format, record, as_exported(player || '_vs_' || opponent)) *
FROM log_rows
ANTI JOIN copied_rows USING (source, line)
ORDER BY source, line
