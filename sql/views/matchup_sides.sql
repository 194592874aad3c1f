-- The matchup totals from either side: two rows a matchup, the score and its sums being the agent's.
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
