-- The intact content of each run, one row each: kind (NULL if the settings of the run are lost), numbers of battles
-- scheduled and stored, and of stored ones without trajectories, server log and perspectives. Reads the tables of
-- pokeladder.store.examination, and faults.
WITH whole_battles AS (
    SELECT battles.*
    FROM battles
    ANTI JOIN faults ON faults.file = battles.file AND faults.row = battles.row
    WHERE outcome <> 'void'
),

whole_trajectories AS (
    SELECT trajectories.*
    FROM trajectories
    ANTI JOIN faults ON faults.file = trajectories.file AND faults.row = trajectories.row
)

SELECT
    run_id,
    runs.kind,
    runs.scheduled,
    count(battle_id) AS stored,
    count(battle_id) FILTER (NOT EXISTS (
        FROM whole_trajectories AS seen WHERE seen.battle_id = whole_battles.battle_id AND seen.batch = whole_battles.batch
    )) AS untold,
    count(battle_id) FILTER (NOT EXISTS (
        FROM server_battles AS said WHERE said.battle_id = whole_battles.battle_id AND said.batch = whole_battles.batch
    )) AS unsaid,
    count(battle_id) FILTER (NOT EXISTS (
        FROM points WHERE points.battle_id = whole_battles.battle_id AND points.batch = whole_battles.batch
    )) AS unseen
FROM whole_battles
FULL JOIN runs USING (run_id)
GROUP BY ALL
ORDER BY run_id
