-- The trajectories that an export writes, with the names of their files. Reads scope and judged, the rows of
-- export_selection.
SELECT
    document_file,
    trajectory_id,
    run_id,
    format,
    metamon_file_name(name, trajectory_id, format, rating, agent, opponent, played_at, result) || '.json.lz4' AS file_name,
    result,
    digest
FROM scope
SEMI JOIN (FROM judged WHERE left_out IS NULL) AS chosen USING (document_file, trajectory_id)
