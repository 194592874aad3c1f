-- The positions of trajectories whose names cannot be read, and which are known under another name, in the store or in this
-- ingest. As in ingest_copies, short documents are not known by content alone. Reads unnamed (place, digest) and
-- summaries_read.
SELECT place
FROM unnamed
WHERE
    digest IN (
        SELECT digest
        FROM trajectories
        WHERE steps >= 10
    )
    OR digest IN (
        SELECT digest
        FROM summaries_read
        WHERE fault IS NULL AND steps >= 10
    )
