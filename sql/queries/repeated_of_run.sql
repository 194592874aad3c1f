-- The number of battles of run $run that equal earlier ones.
SELECT count(*) AS repeated
FROM repeated_battles
JOIN battles USING (battle_id)
WHERE run_id = $run
