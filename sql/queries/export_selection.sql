-- Every trajectory in `scope`, with its file's name and `left_out`: why it is not exported, else NULL. First those go that
-- are too short or too long (in steps) or have too many missing and invalid actions; then, if $balance, wins or losses
-- at random until there are as many of either, and all ties; then all beyond $limit, wins and losses alike if $balance.
-- What is random follows from $seed and the trajectories' ids, on every machine in the same way.
-- Takes $max_invalid_rate, $min_steps, $max_steps, $balance, $seed and $limit (NULL for none).
WITH judged AS (
    SELECT
        *,
        CASE
            WHEN steps < $min_steps THEN 'too_short'
            WHEN steps > $max_steps THEN 'too_long'
            WHEN invalid_rate > $max_invalid_rate THEN 'invalid_actions'
        END AS failed
    FROM scope
),

shuffled AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY failed, CASE WHEN $balance THEN result END
            ORDER BY md5($seed || ' ' || trajectory_id), trajectory_id
        ) AS place,
        least(
            count(*) FILTER (failed IS NULL AND result = 'WIN') OVER (),
            count(*) FILTER (failed IS NULL AND result = 'LOSS') OVER ()
        ) AS of_either
    FROM judged
)

SELECT
    shuffled.* EXCLUDE (failed, place, of_either),
    metamon_file_name(name, trajectory_id, format, rating, agent, opponent, played_at, result) || '.json.lz4' AS file_name,
    CASE
        WHEN failed IS NOT NULL THEN failed
        WHEN $balance AND (result = 'TIE' OR place > of_either) THEN 'balance'
        WHEN place > if($balance, $limit // 2, $limit) THEN 'limit'
    END AS left_out
FROM shuffled
