-- Glicko-1 ratings after a list of games, each a rating period of its own, in plain SQL: the same function as
-- pokeladder.query.folds.glicko_fold.
--   games:   STRUCT(p1, p2, score)[] in the order of play; agents are numbered 1, 2, …
--   agents:  how many there are; all begin with 1500 and 130
--   returns: STRUCT(rating, deviation)[] by number of agent; NULL for NULL
-- An accumulator must have the type of the elements that it runs over: the score of a game stands in for a rating.
CREATE MACRO glicko_fold(games, agents) AS list_reduce(
    list_transform(games, lambda game: {
        'p1': game.p1, 'p2': game.p2, 'now': [{'rating': game.score, 'deviation': 0.0::DOUBLE}]
    }),
    lambda state, game: {
        'p1': 0::BIGINT,
        'p2': 0::BIGINT,
        'now': list_transform(state.now, lambda own, number: CASE
            WHEN number = game.p1 OR number = game.p2 THEN glicko_after(
                own,
                state.now[game.p1 + game.p2 - number],
                CASE WHEN number = game.p1 THEN game.now[1].rating ELSE 1 - game.now[1].rating END
            )
            ELSE own
        END)
    },
    {
        'p1': 0::BIGINT,
        'p2': 0::BIGINT,
        'now': list_transform(range(agents), lambda number: {'rating': 1500.0::DOUBLE, 'deviation': 130.0::DOUBLE})
    }
).now
