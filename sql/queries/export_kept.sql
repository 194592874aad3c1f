-- The trajectories of the store whose files are in the export folder. Reads listed: format and file_name.
WITH named AS (
    SELECT
        document_file,
        trajectory_id,
        format,
        result,
        digest,
        metamon_file_name(name, trajectory_id, format, rating, agent, opponent, played_at, result) || '.json.lz4' AS file_name
    FROM trajectories
)

SELECT document_file, trajectory_id, format, file_name, result, named.digest
FROM named
SEMI JOIN listed USING (format, file_name)
