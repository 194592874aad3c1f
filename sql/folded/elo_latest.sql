-- The macro elo_latest where pokeladder.sequential folds the battles.
CREATE MACRO elo_latest(k, initial) AS TABLE
SELECT unnest(elo_latest_rows(k::DOUBLE, initial::DOUBLE), recursive := TRUE)
