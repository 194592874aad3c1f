-- How many battles of run $run equal earlier ones.
SELECT count(*) AS repeated
FROM repeated_battles
JOIN battles USING (battle_id)
WHERE run_id = $run
