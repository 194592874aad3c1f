-- What can be said of each document of `documents` (trajectory_id, document) by itself, one row each; document is the
-- text that metamon reads. `fault` says why it is no trajectory, else it is NULL.
--
-- steps: decisions. missing_actions: -1 before the last. unlisted_actions: indices for which the state shows no option.
-- used_struggle: a move was chosen with no PP left, or Struggle was the last move seen.
-- team, lead: species of this side. opponent_team, opponent_lead: those that it saw. final_hp, opponent_final_hp: what
-- is left at the end, in whole Pokémon (six unhurt ones are 6.0); an unseen Pokémon is unhurt.
-- signature: equal for both sides of one battle: who faced whom with which status whenever both had to choose.
WITH parsed AS MATERIALIZED (
    SELECT
        trajectory_id,
        try(from_json(document, '{
            "states": [{
                "format": "VARCHAR",
                "player_active_pokemon":
                    {"name": "VARCHAR", "hp_pct": "DOUBLE", "status": "VARCHAR", "moves": "JSON", "base_species": "VARCHAR"},
                "opponent_active_pokemon":
                    {"name": "VARCHAR", "hp_pct": "DOUBLE", "status": "VARCHAR", "base_species": "VARCHAR"},
                "available_switches": "JSON",
                "player_prev_move": {"name": "VARCHAR"},
                "opponents_remaining": "INTEGER",
                "forced_switch": "BOOLEAN",
                "battle_won": "BOOLEAN",
                "battle_lost": "BOOLEAN",
                "can_tera": "BOOLEAN"
            }],
            "actions": ["INTEGER"]
        }')) AS trajectory
    FROM documents
),

-- What is large stays behind here: unnest would copy it.
outlines AS (
    SELECT
        trajectory_id,
        trajectory.states[1].format AS format,
        trajectory.states[1].available_switches AS first_switches,
        trajectory.states[-1].available_switches AS last_switches,
        trajectory.actions,
        list_transform(trajectory.states, lambda state: {
            species: coalesce(state.player_active_pokemon.base_species, state.player_active_pokemon.name),
            hp: state.player_active_pokemon.hp_pct,
            status: state.player_active_pokemon.status,
            opponent_species: coalesce(state.opponent_active_pokemon.base_species, state.opponent_active_pokemon.name),
            opponent_hp: state.opponent_active_pokemon.hp_pct,
            opponent_status: state.opponent_active_pokemon.status,
            opponents_remaining: state.opponents_remaining,
            moves: json_array_length(state.player_active_pokemon.moves),
            has_pp: regexp_matches(state.player_active_pokemon.moves, '"current_pp": ?[1-9]'),
            switches: json_array_length(state.available_switches),
            struggled: state.player_prev_move.name = 'struggle',
            forced: state.forced_switch,
            can_tera: coalesce(state.can_tera, FALSE),
            won: state.battle_won,
            lost: state.battle_lost
        }) AS states
    FROM parsed
    WHERE len(trajectory.states) = len(trajectory.actions)
),

numbered AS MATERIALIZED (
    SELECT
        trajectory_id,
        generate_subscripts(states, 1) AS number,
        len(states) AS count,
        unnest(states, recursive := TRUE),
        unnest(actions) AS action
    FROM outlines
),

options AS (
    SELECT
        * REPLACE (CASE WHEN number < count THEN action END AS action),
        number = count AS last,
        CASE
            WHEN action BETWEEN 4 AND 8 THEN action - 4 < switches
            WHEN action BETWEEN 0 AND 12 THEN NOT forced AND action % 9 < moves AND (action < 9 OR can_tera)
            ELSE action = -1
        END AS listed
    FROM numbered
),

opponents AS (
    SELECT trajectory_id, list(opponent_species ORDER BY first_seen) AS seen, sum(hp) AS hp
    FROM (
        SELECT
            trajectory_id,
            opponent_species,
            min(number) AS first_seen,
            arg_max(opponent_hp, number) AS hp
        FROM options
        GROUP BY trajectory_id, opponent_species
    )
    GROUP BY trajectory_id
),

totals AS (
    SELECT
        trajectory_id,
        count(*)::INTEGER - 1 AS steps,
        count(*) FILTER (action = -1)::INTEGER AS missing_actions,
        count(*) FILTER (NOT listed AND NOT last)::INTEGER AS unlisted_actions,
        bool_or(coalesce(struggled, FALSE) OR (action BETWEEN 0 AND 3 AND NOT forced AND NOT has_pp)) AS used_struggle,
        arg_min(species, number) AS lead,
        list(species ORDER BY number) AS actives,
        arg_max(hp, number) AS last_hp,
        arg_max(opponents_remaining, number) AS opponent_pokemon_left,
        bool_or(won AND last) AS won,
        bool_or(lost AND last) AS lost,
        count(*) FILTER (species IS NULL OR opponent_species IS NULL OR switches IS NULL OR forced IS NULL) AS strange,
        string_agg(concat_ws(' ', species, opponent_species, status, opponent_status), ',' ORDER BY number)
            FILTER (NOT forced AND NOT last) AS own_view,
        string_agg(concat_ws(' ', opponent_species, species, opponent_status, status), ',' ORDER BY number)
            FILTER (NOT forced AND NOT last) AS other_view
    FROM options
    GROUP BY trajectory_id
)

SELECT
    parsed.trajectory_id,
    CASE
        WHEN trajectory IS NULL THEN 'it is not a JSON object'
        WHEN trajectory.states IS NULL OR trajectory.actions IS NULL THEN 'it has no "states" or no "actions"'
        WHEN len(trajectory.states) <> len(trajectory.actions)
            THEN printf('it has %d states and %d actions', len(trajectory.states), len(trajectory.actions))
        WHEN len(trajectory.states) < 2 THEN 'it has no step'
        WHEN strange > 0 THEN printf('%d of its states lack what every state has', strange)
    END AS fault,
    outlines.format,
    steps,
    missing_actions,
    unlisted_actions,
    coalesce(used_struggle, FALSE) AS used_struggle,
    list_distinct(
        list_concat(
            [lead],
            list_transform(
                from_json(first_switches, '[{"name": "VARCHAR", "base_species": "VARCHAR"}]'),
                lambda pokemon: coalesce(pokemon.base_species, pokemon.name)
            ),
            actives
        )
    ).list_sort() AS team,
    lead,
    seen AS opponent_team,
    seen[1] AS opponent_lead,
    round(last_hp + coalesce(list_sum(json_extract_string(last_switches, '$[*].hp_pct')::DOUBLE[]), 0), 6) AS final_hp,
    round(greatest(6 - len(seen), 0) + opponents.hp, 6) AS opponent_final_hp,
    (last_hp > 0)::INTEGER + json_array_length(last_switches)::INTEGER AS pokemon_left,
    opponent_pokemon_left,
    coalesce(won, FALSE) AS won,
    coalesce(lost, FALSE) AS lost,
    md5(own_view) AS own_signature,
    md5(other_view) AS other_signature
FROM parsed
LEFT JOIN outlines USING (trajectory_id)
LEFT JOIN totals USING (trajectory_id)
LEFT JOIN opponents USING (trajectory_id)
