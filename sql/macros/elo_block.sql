-- How many games elo_fold takes between two copies of everything done so far.
CREATE MACRO elo_block(games) AS greatest(256, sqrt(len(games))::BIGINT)
