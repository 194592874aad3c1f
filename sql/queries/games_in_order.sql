-- The rated battles by format and order of play, in which pokeladder.query.folds folds them.
SELECT format, battle_id, p1, p2, score
FROM rated_battles
ORDER BY format, finished_at, battle_id
