-- The macro elo_latest where pokeladder.query.folds folds the battles.
CREATE MACRO elo_latest(k, initial) AS TABLE
SELECT unnest(elo_latest_rows(k::DOUBLE, initial::DOUBLE), recursive := TRUE)
