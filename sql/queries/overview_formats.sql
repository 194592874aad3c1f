-- The formats of the table overview.
SELECT DISTINCT format
FROM overview
ORDER BY format
