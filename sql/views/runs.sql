-- One row a run: what it was asked to do, how many battles it has played and voided, of how many of their trajectories it
-- could not record what was wanted (unrecorded; NULL for runs of pokeladder 0.1.0), and whether it is finished.
-- Counts the whole run, also where `battles` is cut down to a slice. Times as in battles.
SELECT
    run_files.* EXCLUDE (filename) REPLACE (make_timestamp(epoch_us(started_at)) AS started_at),
    coalesce(counts.played, 0) AS played,
    coalesce(counts.void, 0) AS void,
    counts.unrecorded,
    coalesce(counts.played, 0) >= scheduled AS finished
FROM run_files
LEFT JOIN (
    SELECT
        run_id,
        count(*) FILTER (outcome <> 'void') AS played,
        count(*) FILTER (outcome = 'void') AS void,
        sum(unrecorded)::BIGINT AS unrecorded
    FROM battle_files
    GROUP BY run_id
) AS counts USING (run_id)
