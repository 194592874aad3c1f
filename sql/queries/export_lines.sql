-- What the digest of a set is made of: a line a trajectory that the folder of an export holds at its end, with its file and the
-- digest of its document, in the order of the files. Reads selection, and there, what the folder holds before.
SELECT format || '/' || file_name || ' ' || digest AS line
FROM (
    SELECT format, file_name, digest FROM selection
    UNION ALL
    SELECT format, file_name, digest FROM there
)
ORDER BY format, file_name
