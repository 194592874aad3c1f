-- The selected trajectories with their files of documents, one row each, ordered by file; a lost file has its former path
-- in the folder $folder. Reads selection and document_files.
SELECT
    coalesce(filename, concat($folder, '/', run_id, '/', document_file, '.parquet')) AS file,
    document_file,
    trajectory_id,
    format,
    file_name
FROM selection
LEFT JOIN (SELECT DISTINCT document_file, filename FROM internal.document_files) AS places USING (document_file)
ORDER BY file, trajectory_id
