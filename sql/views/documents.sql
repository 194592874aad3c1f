-- The documents of trajectories, one row each: what metamon reads. Join trajectories by trajectory_id and document_file.
--
-- trajectory_id, document_file: as in trajectories
-- document: the trajectory as JSON, as UTF-8 bytes: `decode(document)` is its text
SELECT trajectory_id, document_file, document
FROM internal.document_files
