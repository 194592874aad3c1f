-- Teams and input log of each battle, to replay it. Contains all battles, also in a slice.
--
-- battle_id, run_id: as in battles
-- p1_packed, p2_packed: the side's team in Showdown's packed form; NULL if it was lost with the playing process
-- input_log: the simulator's input log, which `pokeladder replay` plays; NULL as the teams
SELECT battle_id, run_id, p1_packed, p2_packed, input_log
FROM internal.battle_files
