-- The selected trajectories of each file of documents, one row a file. Reads selection.
SELECT
    run_id,
    document_file,
    list({trajectory_id: trajectory_id, path: format || '/' || file_name} ORDER BY trajectory_id) AS trajectories
FROM selection
WHERE left_out IS NULL
GROUP BY run_id, document_file
ORDER BY run_id, document_file
