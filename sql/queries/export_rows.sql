-- The rows of trajectories that an export writes, with the names of their files. Reads scope and selection, the rows of
-- export_selected.
SELECT scope.*, file_name
FROM scope
JOIN (SELECT document_file, trajectory_id, file_name FROM selection) AS chosen USING (document_file, trajectory_id)
