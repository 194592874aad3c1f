-- One row for each decision: the side's information in the fields of metamon's state, and its action. The state at the
-- end of the battle has no row. Each column is read from the documents only if a query uses it.
--
-- trajectory_id, battle_id, run_id, format, side, agent, opponent, result: as in trajectories
-- step: number of the decision, from 0
-- action: metamon's index, NULL where it is missing (-1): 0 to 3 are the moves of the active Pokémon in the order of their
--   names, 4 to 8 the Pokémon on the bench in the order of theirs, 9 to 12 as 0 to 3 with terastallisation
-- choice: kind of the action in this state: `move`, `switch` or `tera`; NULL if the state has no such option
-- chosen: the name of the move or Pokémon
-- invalid: whether the agent's first choice was illegal; NULL if unknown
-- moves, switches: names of the moves and of the Pokémon on the bench in the order of action
-- turn: Showdown's turn: in each, a side decides once without being forced to switch
-- player_hp: HP of the active Pokémon and of those on the bench, in whole Pokémon: six unhurt ones are 6.0
-- opponent_hp: HP of the opponent as far as the side has seen it, in whole Pokémon; unseen ones count as unhurt
-- player_active_pokemon, opponent_active_pokemon: a struct with metamon's fields
-- available_switches: a list of such structs
-- player_prev_move, opponent_prev_move: a move as a struct with metamon's fields
-- opponents_remaining: Pokémon of the opponent that have not fainted
-- player_conditions, opponent_conditions, weather, battle_field: present conditions, in metamon's words
-- forced_switch: whether the side must switch
-- can_tera: whether it can terastallise
-- opponent_teampreview: species of the opponent's team, if there is a team preview
WITH documents AS (
    SELECT
        trajectory_id,
        document_file,
        from_json(decode(document), '{"states": ["JSON"], "actions": ["INTEGER"]}') AS document
    FROM internal.document_files
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
    sum((NOT forced_switch)::INTEGER) OVER (PARTITION BY trajectory_id, document_file ORDER BY step)::INTEGER AS turn,
    player_active_pokemon.hp_pct
    + coalesce(list_sum(list_transform(available_switches, lambda pokemon: pokemon.hp_pct)), 0) AS player_hp,
    opponent_hp(list({
        'opponent_species': coalesce(opponent_active_pokemon.base_species, opponent_active_pokemon.name),
        'opponent_hp': opponent_active_pokemon.hp_pct,
        'opponents_left': opponents_remaining
    }) OVER (PARTITION BY trajectory_id, document_file ORDER BY step)) AS opponent_hp,
    named.* EXCLUDE (trajectory_id, document_file, step, action)
FROM named
JOIN trajectories USING (trajectory_id, document_file)
