-- Points of the chart of Elo over time: for each agent its start, before its first battle, and then means of its ratings
-- over several battles; seq is the number of the last of these battles in the format. There are $points points in all, or
-- 15 an agent if that is more. final is the last rating.
-- Reads progression (pokeladder.query.views), whose initial rating is $initial.
WITH rated AS MATERIALIZED (
    SELECT format, seq, p1, p2, p1_after, p2_after
    FROM progression
),

sides AS (
    SELECT format, seq, p1 AS agent, p1_after AS elo FROM rated
    UNION ALL
    SELECT format, seq, p2, p2_after FROM rated
),

numbered AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY format, agent ORDER BY seq) AS game,
        count(*) OVER (PARTITION BY format, agent) AS games,
        greatest($points // (SELECT count(DISTINCT agent) FROM sides), 15) AS points
    FROM sides
),

thinned AS (
    SELECT format, agent, max(seq) AS seq, avg(elo) AS elo, max_by(elo, seq) AS final, max(game) = max(games) AS is_last
    FROM numbered
    GROUP BY format, agent, (game - 1) * least(games, points) // games
    UNION ALL
    SELECT format, agent, min(seq) - 1, $initial, NULL, FALSE
    FROM sides
    GROUP BY format, agent
)

SELECT agent, place, seq, elo, final, is_last
FROM thinned
JOIN internal.agent_order USING (format, agent)
ORDER BY place, seq
