-- What summaries need to know of each trajectory in `parsed` (trajectory_id, trajectory: see macros/parse_trajectory), a
-- hundredth of its size.
SELECT
    trajectory_id,
    trajectory IS NOT NULL AS parsed,
    len(trajectory.states) AS state_count,
    len(trajectory.actions) AS action_count,
    trajectory.states[1].format AS format,
    trajectory.actions[:-2] AS actions,
    list_transform(trajectory.states, lambda state: {
        species: coalesce(state.player_active_pokemon.base_species, state.player_active_pokemon.name),
        hp: state.player_active_pokemon.hp_pct,
        opponent_species: coalesce(state.opponent_active_pokemon.base_species, state.opponent_active_pokemon.name),
        opponent_hp: state.opponent_active_pokemon.hp_pct,
        moves: len(state.player_active_pokemon.moves),
        switches: json_array_length(state.available_switches),
        forced: state.forced_switch,
        can_tera: coalesce(state.can_tera, FALSE),
        last_move: state.player_prev_move.name,
        opponent_last_move: state.opponent_prev_move.name,
        opponents_left: state.opponents_remaining,
        has_pp: coalesce(
            list_bool_or(list_transform(state.player_active_pokemon.moves, lambda move: move.current_pp > 0)), FALSE
        ),
        status: state.player_active_pokemon.status,
        opponent_status: state.opponent_active_pokemon.status
    }) AS states,
    from_json(trajectory.states[1].available_switches, '[{"name": "VARCHAR", "base_species": "VARCHAR"}]') AS bench,
    json_extract_string(trajectory.states[-1].available_switches, '$[*].hp_pct')::DOUBLE[] AS bench_hp,
    trajectory.states[-1].opponents_remaining AS opponent_pokemon_left,
    coalesce(trajectory.states[-1].battle_won, FALSE) AS won,
    coalesce(trajectory.states[-1].battle_lost, FALSE) AS lost
FROM parsed
