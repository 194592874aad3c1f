-- The battles that can count, one row for each format, agents and versions: number of games, end of the first, and each
-- side's steps and invalid decisions where those were counted. Battles that equal earlier ones are included.
SELECT
    format,
    p1,
    p2,
    p1_version,
    p2_version,
    count(*) AS games,
    min(finished_at) AS first_at,
    sum(p1_steps) FILTER (p1_invalid IS NOT NULL) AS p1_steps,
    sum(p2_steps) FILTER (p2_invalid IS NOT NULL) AS p2_steps,
    sum(p1_invalid) AS p1_invalid,
    sum(p2_invalid) AS p2_invalid
FROM battles
WHERE outcome <> 'void' AND p1 <> p2
GROUP BY ALL
