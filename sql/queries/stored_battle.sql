-- What it takes to play battle $battle_id again, and to see whether it ends the same.
SELECT battle_id, format, p1, p2, winner, turns, input_log
FROM battles
LEFT JOIN input_logs USING (battle_id)
WHERE battle_id = $battle_id
