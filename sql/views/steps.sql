-- One row a step: what the side knew, in the fields of metamon's state, and what it did. Pokémon and moves are structs
-- with metamon's fields. step counts from 0; the state in which the battle ended has no step.
-- action is metamon's index, NULL where it is missing (-1). choice is what that index means in this state: a move, a
-- switch or a move with terastallisation ("move", "switch", "tera"), and chosen its name; NULL where the state shows no
-- such option. invalid: the agent had no legal choice to offer at first; NULL where nobody counted.
-- A column costs the reading of its part of the documents, and only if it is asked for.
WITH documents AS (
    SELECT
        trajectory_id,
        document_file,
        from_json(decode(document), '{"states": ["JSON"], "actions": ["INTEGER"]}') AS document
    FROM document_files
),

numbered AS (
    SELECT
        trajectory_id,
        document_file,
        unnest(range(len(document.states) - 1)) AS step,
        unnest(document.states[:-2]) AS state,
        unnest(document.actions[:len(document.states) - 1]) AS action
    FROM documents
),

named AS (
    SELECT
        * EXCLUDE (state, action),
        nullif(action, -1) AS action,
        parse_pokemon(json_array(state->'player_active_pokemon'))[1] AS player_active_pokemon,
        parse_pokemon(json_array(state->'opponent_active_pokemon'))[1] AS opponent_active_pokemon,
        parse_pokemon(state->'available_switches') AS available_switches,
        parse_moves(json_array(state->'player_prev_move'))[1] AS player_prev_move,
        parse_moves(json_array(state->'opponent_prev_move'))[1] AS opponent_prev_move,
        (state->>'opponents_remaining')::INTEGER AS opponents_remaining,
        state->>'player_conditions' AS player_conditions,
        state->>'opponent_conditions' AS opponent_conditions,
        state->>'weather' AS weather,
        state->>'battle_field' AS battle_field,
        (state->>'forced_switch')::BOOLEAN AS forced_switch,
        coalesce((state->>'can_tera')::BOOLEAN, FALSE) AS can_tera,
        coalesce(TRY_CAST(state->'opponent_teampreview' AS VARCHAR[]), []) AS opponent_teampreview,
        list_sort(json_extract_string(state, '$.player_active_pokemon.moves[*].name')) AS moves,
        list_sort(json_extract_string(state, '$.available_switches[*].name')) AS switches
    FROM numbered
)

SELECT
    trajectory_id,
    battle_id,
    run_id,
    format,
    side,
    agent,
    opponent,
    result,
    step,
    action,
    CASE
        WHEN action BETWEEN 4 AND 8 AND action - 4 < len(switches) THEN 'switch'
        WHEN forced_switch THEN NULL
        WHEN action BETWEEN 0 AND 3 AND action < len(moves) THEN 'move'
        WHEN action BETWEEN 9 AND 12 AND action - 9 < len(moves) AND can_tera THEN 'tera'
    END AS choice,
    CASE choice WHEN 'switch' THEN switches[action - 3] ELSE moves[action % 9 + 1] END AS chosen,
    list_contains(invalid_steps, step) AS invalid,
    named.* EXCLUDE (trajectory_id, document_file, step, action, moves, switches)
FROM named
JOIN trajectories USING (trajectory_id, document_file)
