-- The games of run $run that are in the store, by their positions in its schedule: whether each has been played, and
-- how many of its attempts were void.
SELECT
    game,
    bool_or(outcome <> 'void') AS played,
    count(*) FILTER (outcome = 'void') AS voided
FROM battles
WHERE run_id = $run
GROUP BY game
