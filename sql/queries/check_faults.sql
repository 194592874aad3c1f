-- The faulty rows of a store: kind and path of the file, number of the row, and reason. Of duplicates the first is not a
-- fault. Reads the tables of pokeladder.store.examination, and faults, which has the files that cannot be read.
WITH copies AS (
    SELECT 'battles' AS kind, file, row, 'the battle is in the store already' AS reason, row_number() OVER (
        PARTITION BY battle_id ORDER BY finished_at, batch, file, row
    ) AS copy
    FROM battles
    UNION ALL
    SELECT 'battles', file, row, 'its game has another battle that counts', row_number() OVER (
        PARTITION BY run_id, game ORDER BY finished_at, batch, file, row
    )
    FROM battles
    WHERE outcome <> 'void' AND game IS NOT NULL
    UNION ALL
    SELECT 'trajectories', file, row, 'the trajectory is in the store already', row_number() OVER (
        PARTITION BY trajectory_id, battle_id, batch ORDER BY document_file, file, row
    )
    FROM trajectories
    UNION ALL
    SELECT 'documents', file, row, 'the document is in the store already', row_number() OVER (
        PARTITION BY document_file, trajectory_id ORDER BY file, row
    )
    FROM documents
    UNION ALL
    SELECT 'server_battles', file, row, 'the server''s log is in the store already', row_number() OVER (
        PARTITION BY battle_id, batch ORDER BY file, row
    )
    FROM server_battles
)

SELECT kind, file, row, reason
FROM copies
WHERE copy > 1
UNION ALL
SELECT 'battles', battles.file, battles.row, 'its run has no such game'
FROM battles
JOIN runs USING (run_id)
WHERE game < 0 OR game >= scheduled
UNION ALL
SELECT 'trajectories', file, row, 'its document is missing'
FROM trajectories
ANTI JOIN documents USING (document_file, trajectory_id)
UNION ALL
SELECT DISTINCT 'trajectories', trajectories.file, trajectories.row, 'its document has changed'
FROM trajectories
JOIN documents USING (document_file, trajectory_id)
WHERE documents.digest <> trajectories.digest
UNION ALL
SELECT DISTINCT 'documents', documents.file, documents.row, 'it differs from the digest of its trajectory'
FROM documents
JOIN trajectories USING (document_file, trajectory_id)
WHERE documents.digest <> trajectories.digest
UNION ALL
SELECT 'merges', merges.file, merges.row, 'the merged file is broken: ' || merged
FROM merges
SEMI JOIN faults ON faults.file = merges.merged
