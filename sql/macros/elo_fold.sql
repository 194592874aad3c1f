-- Ratings before and after each game of one format, in plain SQL: the same function as pokeladder.query.folds.elo_fold.
--   games:   STRUCT(p1, p2, score)[] in the order of play; agents are numbered 1, 2, …
--   agents:  number of agents
--   returns: STRUCT(p1_before, p1_after, p2_before, p2_after)[], one element a game; NULL for NULL
--
-- A log is two lists that grow at the front: the first entry of an agent is its latest rating. Each game adds four
-- entries: both sides with their new ratings, and two of agent 0 with the old ones. Appending copies a list, so the log
-- is cut into blocks: `done` contains the finished ones, and the next block starts from a log of only the ratings. A last
-- block without games moves the last log into `done`.
-- An accumulator must have the type of the list's elements, which explains their shapes: agent[1] of a block is the
-- number of games before it, rating[1] of a game is its score.
CREATE MACRO elo_fold(games, agents, k, initial) AS list_reduce(
    list_transform(
        range(0, len(games) + elo_block(games), elo_block(games)),
        lambda start: {
            'log': {'agent': [start], 'rating': []::DOUBLE[]},
            'done': []::STRUCT(p1_before DOUBLE, p1_after DOUBLE, p2_before DOUBLE, p2_after DOUBLE)[]
        }
    ),
    lambda state, block: {
        'log': list_reduce(
            list_transform(
                games[block.log.agent[1] + 1 : block.log.agent[1] + elo_block(games)],
                lambda game: {'agent': [game.p1, game.p2, 0, 0], 'rating': [game.score]}
            ),
            lambda log, game: {
                'agent': list_concat(game.agent, log.agent),
                'rating': list_concat(
                    [
                        elo_rating(log, game, 1) + elo_change(log, game, k),
                        elo_rating(log, game, 2) - elo_change(log, game, k),
                        elo_rating(log, game, 1),
                        elo_rating(log, game, 2)
                    ],
                    log.rating
                )
            },
            {
                'agent': range(1, agents + 1),
                'rating': list_transform(
                    range(1, agents + 1),
                    lambda agent: state.log.rating[list_position(state.log.agent, agent)]
                )
            }
        ),
        'done': list_concat(
            state.done,
            list_zip(
                list_reverse(state.log.rating[3:-agents - 1:4]),
                list_reverse(state.log.rating[1:-agents - 1:4]),
                list_reverse(state.log.rating[4:-agents - 1:4]),
                list_reverse(state.log.rating[2:-agents - 1:4])
            )
        )
    },
    {
        'log': {'agent': range(1, agents + 1), 'rating': list_transform(range(agents), lambda agent: initial::DOUBLE)},
        'done': []::STRUCT(p1_before DOUBLE, p1_after DOUBLE, p2_before DOUBLE, p2_after DOUBLE)[]
    }
).done
