-- The content of an export folder at the end, in one row: numbers of trajectories in scope and in the folder, of the
-- latter by result, and of the others by reason. Reads judged, selection, and there (the content before).
WITH held AS (
    SELECT result FROM selection
    UNION ALL
    SELECT result FROM there
)

SELECT
    (SELECT count(*) FROM judged) + (SELECT count(*) FROM there) AS input_count,
    count(*) AS output_count,
    count(*) FILTER (result = 'WIN') AS wins,
    count(*) FILTER (result = 'LOSS') AS losses,
    count(*) FILTER (result = 'TIE') AS ties,
    (SELECT count(*) FROM there) AS there,
    (SELECT count(*) FROM there WHERE is_foreign) AS of_others,
    coalesce((SELECT map(list(left_out ORDER BY left_out), list(number ORDER BY left_out)) FROM (
        SELECT left_out, count(*) AS number FROM judged WHERE left_out IS NOT NULL GROUP BY left_out
    )), MAP {}) AS left_out
FROM held
