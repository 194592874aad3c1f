-- Every trajectory in `scope` that is not in the folder yet (`kept`), and `left_out`: why it is not exported, else NULL. First
-- those go that are too short or too long (in steps) or have too many missing and invalid actions; then, if $balance, wins
-- or losses at random until there are as many of either, with those that are `there` already, and all ties; then all
-- beyond $limit, wins and losses alike if $balance. What is random follows from $seed and the trajectories' ids, on every
-- machine in the same way.
-- Takes $max_invalid_rate, $min_steps, $max_steps, $balance, $seed and $limit (NULL for none).
WITH judged AS (
    SELECT
        document_file,
        trajectory_id,
        result,
        CASE
            WHEN steps < $min_steps THEN 'too_short'
            WHEN steps > $max_steps THEN 'too_long'
            WHEN invalid_rate > $max_invalid_rate THEN 'invalid_actions'
        END AS failed
    FROM scope
    ANTI JOIN kept USING (document_file, trajectory_id)
),

shuffled AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY failed, CASE WHEN $balance THEN result END
            ORDER BY md5($seed || ' ' || trajectory_id), trajectory_id
        ) AS place
    FROM judged
),

found AS (
    SELECT
        (SELECT count(*) FROM judged WHERE failed IS NULL AND result = 'WIN') AS wins,
        (SELECT count(*) FROM judged WHERE failed IS NULL AND result = 'LOSS') AS losses,
        (SELECT count(*) FROM there WHERE result = 'WIN') AS wins_there,
        (SELECT count(*) FROM there WHERE result = 'LOSS') AS losses_there
),

-- How many of a result make the whole set balanced, and how many the limit leaves room for.
rooms AS (
    SELECT
        result,
        greatest(least(wins_there + wins, losses_there + losses) - own, 0) AS for_balance,
        least(greatest((wins_there + losses_there + coalesce($limit, 0)) // 2 - own, 0), coalesce($limit, 0)) AS for_limit
    FROM found
    CROSS JOIN LATERAL (VALUES ('WIN', wins_there), ('LOSS', losses_there)) AS sides (result, own)
)

SELECT
    document_file,
    trajectory_id,
    CASE
        WHEN failed IS NOT NULL THEN failed
        WHEN NOT $balance THEN CASE WHEN place > $limit THEN 'limit' END
        WHEN for_balance IS NULL OR place > for_balance THEN 'balance'
        WHEN $limit IS NOT NULL AND place > for_limit THEN 'limit'
    END AS left_out
FROM shuffled
LEFT JOIN rooms USING (result)
