-- The selected trajectories of each file of documents, one row a file; of a lost one the path that it had in the folder
-- $folder. Reads selection and document_files.
SELECT
    coalesce(filename, concat($folder, '/', run_id, '/', document_file, '.parquet')) AS file,
    list({
        document_file: document_file,
        trajectory_id: trajectory_id,
        path: format || '/' || file_name
    } ORDER BY trajectory_id) AS trajectories
FROM selection
LEFT JOIN (SELECT DISTINCT document_file, filename FROM document_files) AS places USING (document_file)
GROUP BY file
ORDER BY file
