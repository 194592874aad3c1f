-- The components of comparable agents: those that have taken points from each other, directly or through others.
--   prior:   as in ratings_with; with a prior all agents of a format are one component
--   returns: format, agent, games, component (1 is the largest of a format), number (of the agent in its component, from 1),
--            took, lost (whether points were taken from, or lost to, other components); for battles within the component
--            score and observations, and the lists games_with, square_score, cross_score and square_games by number of the
--            opponent (see internal.matchup_totals)
CREATE MACRO rating_components(prior := 0) AS TABLE
WITH RECURSIVE sides AS MATERIALIZED (
    FROM internal.matchup_totals
),

agents AS (
    SELECT format, agent, sum(games)::BIGINT AS games
    FROM sides
    GROUP BY ALL
),

reached AS (
    SELECT format, agent, agent AS other
    FROM agents
    UNION
    SELECT reached.format, reached.agent, sides.opponent
    FROM reached
    JOIN sides ON sides.format = reached.format AND sides.agent = reached.other AND sides.score > 0
    WHERE prior = 0
),

-- head: the first agent of a component by name.
headed AS MATERIALIZED (
    SELECT format, agent, games, CASE WHEN prior = 0 THEN head ELSE '' END AS head
    FROM (
        SELECT there.format, there.agent, min(there.other) AS head
        FROM reached AS there
        JOIN reached AS back ON back.format = there.format AND back.agent = there.other AND back.other = there.agent
        GROUP BY ALL
    )
    JOIN agents USING (format, agent)
),

ranked AS (
    SELECT
        format,
        head,
        count(*) AS size,
        row_number() OVER (PARTITION BY format ORDER BY count(*) DESC, sum(games) DESC, head) AS component
    FROM headed
    GROUP BY format, head
),

numbered AS MATERIALIZED (
    SELECT
        format,
        agent,
        games,
        component,
        row_number() OVER (PARTITION BY format, component ORDER BY agent) AS number
    FROM headed
    JOIN ranked USING (format, head)
),

crossed AS (
    SELECT own.format, own.agent, bool_or(sides.score > 0) AS took, bool_or(sides.score < sides.games) AS lost
    FROM numbered AS own
    JOIN sides ON sides.format = own.format AND sides.agent = own.agent
    JOIN numbered AS other ON other.format = own.format AND other.agent = sides.opponent
    WHERE other.component <> own.component
    GROUP BY ALL
)

SELECT
    own.format,
    own.agent,
    own.games,
    own.component,
    own.number,
    took,
    lost,
    coalesce(sum(sides.score), 0) AS score,
    coalesce(sum(sides.observations), 0) AS observations,
    list(coalesce(sides.games, 0)::DOUBLE ORDER BY other.number) AS games_with,
    list(coalesce(sides.square_score, 0) ORDER BY other.number) AS square_score,
    list(coalesce(sides.cross_score, 0) ORDER BY other.number) AS cross_score,
    list(coalesce(sides.square_games, 0) ORDER BY other.number) AS square_games
FROM numbered AS own
JOIN numbered AS other USING (format, component)
LEFT JOIN sides ON sides.format = own.format AND sides.agent = own.agent AND sides.opponent = other.agent
LEFT JOIN crossed ON crossed.format = own.format AND crossed.agent = own.agent
GROUP BY ALL
