-- The simulator's input log of each battle, which replays it; NULL where it was lost. Not cut down to a slice.
SELECT battle_id, run_id, input_log
FROM battle_files
