-- All that ratings need to know of a matchup, one row each, agent before opponent by name. The two battles of a mirrored pair
-- share their teams and their luck, so they are one observation; any other battle is one by itself.
--
-- format, agent, opponent: whose matchup
-- games: battles that count
-- score: sum of the agent's scores
-- observations: mirrored pairs, and battles that are of none
-- pairs: mirrored pairs of which both battles count
-- square_score, cross_score, square_games: sums over observations of score², score · games, and games²
WITH scored AS (
    SELECT
        format,
        least(p1, p2) AS agent,
        greatest(p1, p2) AS opponent,
        pair_id,
        CASE WHEN p1 < p2 THEN score ELSE 1 - score END AS score
    FROM rated_battles
),

observations AS (
    SELECT format, agent, opponent, count(*) AS games, sum(score) AS score
    FROM scored
    WHERE pair_id IS NOT NULL
    GROUP BY format, agent, opponent, pair_id
    UNION ALL
    SELECT format, agent, opponent, 1, score
    FROM scored
    WHERE pair_id IS NULL
)

SELECT
    format,
    agent,
    opponent,
    sum(games)::BIGINT AS games,
    sum(score) AS score,
    count(*) AS observations,
    count(*) FILTER (games = 2) AS pairs,
    sum(score * score) AS square_score,
    sum(score * games) AS cross_score,
    sum(games * games)::DOUBLE AS square_games
FROM observations
GROUP BY ALL
