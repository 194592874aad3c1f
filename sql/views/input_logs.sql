-- What it takes to play each battle again. Not cut down to a slice.
--
-- battle_id, run_id: as in battles
-- p1_packed, p2_packed: the side's team in Showdown's packed form; NULL where it was lost with the process that played
-- input_log: the simulator's input log, which `pokeladder replay` plays; NULL as the teams
SELECT battle_id, run_id, p1_packed, p2_packed, input_log
FROM internal.battle_files
