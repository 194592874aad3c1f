-- The agents of the table overview with several versions, one row each: agent, versions in order of first play, and the
-- games of each in the same order. Battles without versions are left out.
WITH sides AS (
    SELECT p1 AS agent, p1_version AS version, games, first_at FROM overview
    UNION ALL
    SELECT p2, p2_version, games, first_at FROM overview
),

counted AS (
    SELECT agent, version, sum(games)::BIGINT AS games, min(first_at) AS first_at
    FROM sides
    WHERE version IS NOT NULL
    GROUP BY agent, version
)

SELECT
    agent,
    list(version ORDER BY first_at, version) AS versions,
    list(games ORDER BY first_at, version) AS games
FROM counted
GROUP BY agent
HAVING count(*) > 1
ORDER BY agent
