-- The rows of elo_results_progression.csv, battles in order; player is p1 and result (WIN, LOSS, TIE) is its own.
-- Takes $k and $initial.
SELECT
    row_number() OVER (ORDER BY format, seq) AS battle_num,
    p1 AS player,
    p2 AS opponent,
    CASE score WHEN 1 THEN 'WIN' WHEN 0 THEN 'LOSS' ELSE 'TIE' END AS result,
    p1_before AS player_rating_before,
    p1_after AS player_rating_after,
    p2_before AS opponent_rating_before,
    p2_after AS opponent_rating_after
FROM elo_progression_with(k := $k, initial := $initial)
ORDER BY battle_num
