-- One side's rating before a game, from a log with the newest entry first (see elo_fold).
CREATE MACRO elo_rating(log, game, side) AS
    log.rating[list_position(log.agent, game.agent[side])]
