-- The trajectories read that are known under another name: equal documents are one side of one battle. Of several copies
-- in one ingest one is kept: one with a row in a battle log, otherwise the first by path. Short documents of different
-- battles can be equal, for example after an early forfeit: those of less than 10 steps must also have the same name, as
-- it is or as exports write it. Reads summaries_read and log_rows.
WITH found AS (
    SELECT
        *,
        metamon_file_name(name, name, format, rating, player, opponent, played_at, named_result) AS exported,
        EXISTS (
            FROM log_rows AS log
            WHERE
                log.format = summaries_read.format
                AND log.record = summaries_read.record
                AND as_exported(log.player || '_vs_' || log.opponent)
                = as_exported(summaries_read.player || '_vs_' || summaries_read.opponent)
        ) AS logged
    FROM summaries_read
    WHERE fault IS NULL
),

stored AS (
    SELECT DISTINCT
        digest,
        metamon_file_name(name, trajectory_id, format, rating, agent, opponent, played_at, result) AS exported
    FROM trajectories
    SEMI JOIN found USING (digest)
),

numbered AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY digest, if(steps < 10, exported, NULL)
            ORDER BY logged DESC, source, name
        ) AS copy
    FROM found
)

SELECT name, format, record, player, opponent
FROM numbered
WHERE
    copy > 1
    OR EXISTS (
        FROM stored
        WHERE
            stored.digest = numbered.digest
            AND (numbered.steps >= 10 OR stored.exported = numbered.exported)
    )
