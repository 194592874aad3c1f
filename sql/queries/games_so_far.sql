-- The stored games of run $run by position in the schedule: whether each was played, and the number of its void attempts.
SELECT
    game,
    bool_or(outcome <> 'void') AS played,
    count(*) FILTER (outcome = 'void') AS voided
FROM battles
WHERE run_id = $run
GROUP BY game
