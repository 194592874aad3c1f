-- The macro glicko_latest where pokeladder.query.folds folds the battles.
CREATE MACRO glicko_latest() AS TABLE
SELECT unnest(glicko_latest_rows(1500.0::DOUBLE), recursive := TRUE)
