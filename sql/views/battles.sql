-- One row a battle, void ones and self-play included: every column of the files but what input_logs shows. Times are
-- in UTC, without a zone: they read the same on every machine, and Python needs no pytz for them.
SELECT * EXCLUDE (p1_packed, p2_packed, input_log, filename) REPLACE (
    make_timestamp(epoch_us(started_at)) AS started_at,
    make_timestamp(epoch_us(finished_at)) AS finished_at
)
FROM battle_files
