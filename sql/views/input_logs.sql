-- What it takes to play each battle again: both teams in Showdown's packed form, and the simulator's input log; NULL
-- where they were lost with the process that played it. Not cut down to a slice.
SELECT battle_id, run_id, p1_packed, p2_packed, input_log
FROM battle_files
