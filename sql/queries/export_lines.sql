-- The lines of the digest of a set: file and digest of the document of each trajectory in the export folder at the end,
-- ordered by file. Reads selection, and there (the content before).
SELECT format || '/' || file_name || ' ' || digest AS line
FROM (
    SELECT format, file_name, digest FROM selection
    UNION ALL
    SELECT format, file_name, digest FROM there
)
ORDER BY format, file_name
