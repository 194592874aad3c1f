-- All that ratings and matchups are computed from: two rows for each matchup, one from either side. The two battles of a
-- mirrored pair, which share teams and seed, are one observation; any other battle is one by itself.
--
-- format, agent, opponent: the matchup, seen from the agent's side
-- games, wins, losses, ties: of the agent, over the battles that count
-- score: sum of the agent's scores
-- observations: mirrored pairs, and battles that belong to none
-- pairs: mirrored pairs of which both battles count
-- square_score, cross_score, square_games: sums over observations of score², score · games, and games²
WITH scored AS (
    SELECT
        format,
        least(p1, p2) AS agent,
        greatest(p1, p2) AS opponent,
        pair_id,
        CASE WHEN p1 < p2 THEN score ELSE 1 - score END AS score
    FROM main.rated_battles
),

observations AS (
    SELECT
        format,
        agent,
        opponent,
        count(*) AS games,
        count(*) FILTER (score = 1) AS wins,
        count(*) FILTER (score = 0) AS losses,
        sum(score) AS score
    FROM scored
    WHERE pair_id IS NOT NULL
    GROUP BY format, agent, opponent, pair_id
    UNION ALL
    SELECT format, agent, opponent, 1, (score = 1)::BIGINT, (score = 0)::BIGINT, score
    FROM scored
    WHERE pair_id IS NULL
),

totals AS MATERIALIZED (
    SELECT
        format,
        agent,
        opponent,
        sum(games)::BIGINT AS games,
        sum(wins)::BIGINT AS wins,
        sum(losses)::BIGINT AS losses,
        sum(score) AS score,
        count(*) AS observations,
        count(*) FILTER (games = 2) AS pairs,
        sum(score * score) AS square_score,
        sum(score * games) AS cross_score,
        sum(games * games)::DOUBLE AS square_games
    FROM observations
    GROUP BY ALL
)

SELECT
    format, agent, opponent, games, wins, losses, games - wins - losses AS ties, score, observations, pairs,
    square_score, cross_score, square_games
FROM totals
UNION ALL
SELECT
    format, opponent, agent, games, losses, wins, games - wins - losses, games - score, observations, pairs,
    square_games - 2 * cross_score + square_score, square_games - cross_score, square_games
FROM totals
