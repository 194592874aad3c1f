-- The matchup totals from either side: two rows a matchup.
--
-- format, agent, opponent: whose matchup
-- games, observations, pairs, square_games: as in matchup_totals
-- score, square_score, cross_score: the agent's
WITH totals AS MATERIALIZED (
    FROM matchup_totals
)

SELECT format, agent, opponent, games, score, observations, pairs, square_score, cross_score, square_games
FROM totals
UNION ALL
SELECT
    format, opponent, agent, games, games - score, observations, pairs,
    square_games - 2 * cross_score + square_score, square_games - cross_score, square_games
FROM totals
