-- The rows of elo_results_progression.csv, battles in order; player is p1, and result (WIN, LOSS, TIE) is that of p1.
-- Reads progression (pokeladder.query.views).
SELECT
    row_number() OVER () AS battle_num,
    p1 AS player,
    p2 AS opponent,
    CASE score WHEN 1 THEN 'WIN' WHEN 0 THEN 'LOSS' ELSE 'TIE' END AS result,
    p1_before AS player_rating_before,
    p1_after AS player_rating_after,
    p2_before AS opponent_rating_before,
    p2_after AS opponent_rating_after
FROM progression
