-- Rows and files that belong to no intact battle, as after a kill: kind and path of the file, number of the row (NULL for
-- the whole file), and reason. Documents are reported only if nothing refers to their file. Reads the tables of
-- pokeladder.store.examination, and faults.
WITH whole_battles AS (
    SELECT battles.*
    FROM battles
    ANTI JOIN faults ON faults.file = battles.file AND faults.row = battles.row
),

shown AS (
    SELECT trajectories.document_file, trajectories.trajectory_id
    FROM trajectories
    SEMI JOIN whole_battles USING (battle_id, batch)
    ANTI JOIN faults ON faults.file = trajectories.file AND faults.row = trajectories.row
)

SELECT 'trajectories' AS kind, file, row, 'its battle is missing' AS reason
FROM trajectories
ANTI JOIN whole_battles USING (battle_id, batch)
UNION ALL
SELECT 'server_battles', file, row, 'its battle is missing'
FROM server_battles
ANTI JOIN whole_battles USING (battle_id, batch)
UNION ALL
SELECT 'points', file, row, 'its battle is missing'
FROM points
ANTI JOIN whole_battles USING (battle_id, batch)
UNION ALL
SELECT 'documents', file, NULL, 'no trajectory refers to it'
FROM documents
LEFT JOIN shown USING (document_file, trajectory_id)
GROUP BY file
HAVING count(shown.trajectory_id) = 0
