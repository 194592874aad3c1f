-- One row for each run: a call of tournament, selfplay or ingest, with the calls that resumed it. Counts are of the
-- whole run, also in a slice. Times are in UTC.
--
-- run_id: date, time and four hexadecimal digits
-- kind, format, venue: as in battles
-- settings: the run's settings as JSON: agents, teams, seed and limits; runs with equal settings have equal schedules
-- scheduled: number of battles in the schedule
-- started_at: when the run began
-- pokeladder_version, showdown_version: versions at the start
-- played, void: number of battles that were played, and of void ones
-- unrecorded: number of trajectories that could not be recorded; NULL for runs of pokeladder 0.1.0
-- finished: whether all scheduled battles were played
SELECT
    run_files.* EXCLUDE (filename) REPLACE (make_timestamp(epoch_us(started_at)) AS started_at),
    coalesce(counts.played, 0) AS played,
    coalesce(counts.void, 0) AS void,
    counts.unrecorded,
    coalesce(counts.played, 0) >= scheduled AS finished
FROM internal.run_files
LEFT JOIN (
    SELECT
        run_id,
        count(*) FILTER (outcome <> 'void') AS played,
        count(*) FILTER (outcome = 'void') AS void,
        sum(unrecorded)::BIGINT AS unrecorded
    FROM internal.battle_files
    GROUP BY run_id
) AS counts USING (run_id)
