-- What an export selects, in one row: trajectories in scope and selected, selected ones by result, the others by reason,
-- and a digest of names and contents by which the selection can be checked. Reads selection.
SELECT
    count(*) AS input_count,
    count(*) FILTER (left_out IS NULL) AS output_count,
    count(*) FILTER (left_out IS NULL AND result = 'WIN') AS wins,
    count(*) FILTER (left_out IS NULL AND result = 'LOSS') AS losses,
    count(*) FILTER (left_out IS NULL AND result = 'TIE') AS ties,
    coalesce((SELECT map(list(left_out ORDER BY left_out), list(number ORDER BY left_out)) FROM (
        SELECT left_out, count(*) AS number FROM selection WHERE left_out IS NOT NULL GROUP BY left_out
    )), MAP {}) AS left_out,
    sha256(
        coalesce(
            string_agg(format || '/' || file_name || ' ' || digest, chr(10) ORDER BY format, file_name)
                FILTER (left_out IS NULL),
            ''
        )
    ) AS digest
FROM selection
