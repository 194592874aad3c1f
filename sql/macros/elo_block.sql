-- The number of games that elo_fold takes between two copies of its state.
CREATE MACRO elo_block(games) AS greatest(256, sqrt(len(games))::BIGINT)
