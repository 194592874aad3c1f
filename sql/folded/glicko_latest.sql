-- The macro glicko_latest where pokeladder.sequential folds the battles.
CREATE MACRO glicko_latest() AS TABLE
SELECT unnest(glicko_latest_rows(1500.0::DOUBLE), recursive := TRUE)
