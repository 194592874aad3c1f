-- The trajectories that have been read and are known, whatever their files are called: one document is one side of one
-- battle. Of several copies in one ingest one is none: one that has a row in a battle log, else the first by its path.
-- Several battles may share a document only if it is short, as where one side gives up at once: one of less than 10
-- steps is known only under its name, as it is or as exports write it. Reads summaries_read and log_rows.
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
