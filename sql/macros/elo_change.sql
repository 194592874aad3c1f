-- The points that p1 wins and p2 loses in a game; game.rating[1] is the score of p1 (see elo_fold).
CREATE MACRO elo_change(log, game, k) AS
    k * (game.rating[1] - 1 / (1 + pow(10, (elo_rating(log, game, 2) - elo_rating(log, game, 1)) / 400)))
