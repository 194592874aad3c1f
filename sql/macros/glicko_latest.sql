-- Each agent's Glicko-1 rating and deviation after its last battle, and how many it had; see views/glicko.
CREATE MACRO glicko_latest() AS TABLE
WITH ordered AS MATERIALIZED (
    SELECT format, p1, p2, score, row_number() OVER (PARTITION BY format ORDER BY finished_at, battle_id) AS seq
    FROM rated_battles
),

agents AS MATERIALIZED (
    SELECT format, agent, count(*) AS games, row_number() OVER (PARTITION BY format ORDER BY agent) AS number
    FROM (SELECT format, unnest([p1, p2]) AS agent FROM ordered)
    GROUP BY format, agent
),

listed AS (
    SELECT
        ordered.format,
        list({'p1': first.number, 'p2': second.number, 'score': score} ORDER BY seq) AS games,
        max(greatest(first.number, second.number)) AS agents
    FROM ordered
    JOIN agents AS first ON first.format = ordered.format AND first.agent = p1
    JOIN agents AS second ON second.format = ordered.format AND second.agent = p2
    GROUP BY ordered.format
),

rated AS (
    SELECT format, unnest(range(1, agents + 1)) AS number, unnest(glicko_fold(games, agents)) AS found
    FROM listed
)

SELECT format, agent, found.rating AS rating, found.deviation AS deviation, games
FROM rated
JOIN agents USING (format, number)
