-- The values to replay battle $battle_id, and to compare its end.
SELECT battle_id, format, p1, p2, winner, turns, input_log
FROM battles
LEFT JOIN input_logs USING (battle_id)
WHERE battle_id = $battle_id
