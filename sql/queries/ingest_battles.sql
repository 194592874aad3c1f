-- Rows of a battle file in the order of pokeladder.store.rows.Battle: the battles in `places` that are not in the store,
-- numbered from $begin up to $end. Takes $run and $batch, too.
WITH sides AS (
    SELECT
        number,
        format,
        coalesce(max(agent) FILTER (side = 'p1'), max(opponent_agent) FILTER (side = 'p2')) AS p1,
        coalesce(max(agent) FILTER (side = 'p2'), max(opponent_agent) FILTER (side = 'p1')) AS p2,
        coalesce(max(team_file) FILTER (side = 'p1'), max(opponent_team_file) FILTER (side = 'p2')) AS p1_team,
        coalesce(max(team_file) FILTER (side = 'p2'), max(opponent_team_file) FILTER (side = 'p1')) AS p2_team,
        max(steps) FILTER (side = 'p1') AS p1_steps,
        max(steps) FILTER (side = 'p2') AS p2_steps,
        coalesce(max(pokemon_left) FILTER (side = 'p1'), max(opponent_pokemon_left) FILTER (side = 'p2')) AS p1_left,
        coalesce(max(pokemon_left) FILTER (side = 'p2'), max(opponent_pokemon_left) FILTER (side = 'p1')) AS p2_left,
        bool_or(result = 'WIN' AND side = 'p1') AS p1_says_won,
        bool_or(result = 'WIN' AND side = 'p2') AS p2_says_won,
        bool_or(result = 'LOSS' AND side = 'p1') AS p1_says_lost,
        bool_or(result = 'LOSS' AND side = 'p2') AS p2_says_lost,
        bool_or(name IS NOT NULL) AS seen,
        max(played_at) AS played_at
    FROM places
    WHERE number >= $begin AND number < $end
    GROUP BY number, format
),

decided AS (
    SELECT
        *,
        CASE
            WHEN p1_says_won THEN 'p1'
            WHEN p2_says_won THEN 'p2'
            -- Logs have LOSS for ties: then both sides have it.
            WHEN p1_says_lost AND p2_says_lost THEN NULL
            WHEN p1_says_lost THEN 'p2'
            WHEN p2_says_lost THEN 'p1'
        END AS winner
    FROM sides
)

SELECT
    format('{}-{:06d}', $run, number) AS battle_id,
    $run AS run_id,
    'import' AS kind,
    format,
    'server' AS venue,
    p1,
    p2,
    p1_team,
    p2_team,
    NULL AS pair_id,
    NULL AS seed,
    winner,
    CASE WHEN winner IS NULL THEN 'tie' ELSE 'win' END AS outcome,
    CASE
        WHEN NOT seen THEN 'unknown'
        WHEN winner IS NULL THEN if(p1_left = 0 AND p2_left = 0, 'normal', 'undecided')
        WHEN CASE winner WHEN 'p1' THEN p2_left ELSE p1_left END = 0 THEN 'normal'
        ELSE 'unknown'
    END AS end_reason,
    NULL AS turns,
    p1_steps,
    p2_steps,
    NULL AS p1_invalid,
    NULL AS p2_invalid,
    p1_left,
    p2_left,
    NULL AS started_at,
    played_at AS finished_at,
    NULL AS showdown_version,
    number AS game,
    0 AS attempt,
    NULL AS p1_packed,
    NULL AS p2_packed,
    NULL AS input_log,
    $batch AS batch,
    NULL AS p1_version,
    NULL AS p2_version,
    NULL AS run_seed,
    NULL AS played,
    NULL AS unrecorded
FROM decided
ORDER BY number
