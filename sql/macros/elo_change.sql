-- What p1 gains by a game and p2 loses; game.rating[1] holds p1's score (see elo_fold).
CREATE MACRO elo_change(log, game, k) AS
    k * (game.rating[1] - 1 / (1 + pow(10, (elo_rating(log, game, 2) - elo_rating(log, game, 1)) / 400)))
