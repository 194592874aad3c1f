-- The summary of each trajectory in `outlines` (see pokeladder.trajectories.outlines), one row each. `fault` is the
-- reason why it is not a valid trajectory, or NULL.
--
-- steps: number of decisions. missing_actions: number of -1 before the last action. unlisted_actions: number of indices
-- for which the state has no option. used_struggle: a move was chosen without PP, or Struggle was the last move.
-- team, lead: species of this side. opponent_team, opponent_lead: those that it saw. final_hp, opponent_final_hp: HP at
-- the end in whole Pokémon (six unhurt ones are 6.0); unseen Pokémon count as unhurt.
-- own_signature equals the other side's other_signature: active species of both sides at each free choice, with status,
-- HP (as the opponent sees it: in hundredths rounded up, 99 unless unhurt) and last move.
WITH stepped AS (
    SELECT
        *,
        list_zip(states[:-2], actions) AS steps,
        list_filter(states[:-2], lambda state: NOT state.forced) AS free,
        list_transform(states, lambda state: state.opponent_species) AS opponents
    FROM outlines
),

followed AS (
    SELECT
        *,
        list_filter(opponents, lambda species, place: list_position(opponents, species) = place) AS seen,
        list_transform(free, lambda state: [
            concat_ws(' ', state.species, state.status, hundredths(state.hp), state.last_move),
            concat_ws(
                ' ',
                state.opponent_species,
                state.opponent_status,
                hundredths(state.opponent_hp),
                state.opponent_last_move
            )
        ]) AS faced
    FROM stepped
)

SELECT
    trajectory_id,
    CASE
        WHEN unreadable IS NOT NULL THEN unreadable
        WHEN action_count IS NULL OR (len(states) = 0 AND action_count > 0) THEN 'it has no "states" or no "actions"'
        WHEN len(states) <> action_count THEN printf('it has %d states and %d actions', len(states), action_count)
        WHEN len(states) < 2 THEN 'it has no step'
        WHEN list_bool_or(list_transform(states, lambda state:
            state.species IS NULL OR state.opponent_species IS NULL OR state.switches IS NULL OR state.forced IS NULL
        )) OR states[-1].hp IS NULL OR states[-1].opponent_hp IS NULL OR opponent_pokemon_left IS NULL
            THEN 'a state lacks a required value'
        WHEN list_bool_or(list_transform(actions, lambda action: action IS NULL)) THEN 'an action is not a number'
    END AS fault,
    format,
    len(states)::INTEGER - 1 AS steps,
    len(list_filter(actions, lambda action: action = -1))::INTEGER AS missing_actions,
    len(list_filter(steps, lambda step: NOT CASE
        WHEN step[2] BETWEEN 4 AND 8 THEN step[2] - 4 < step[1].switches
        WHEN step[2] BETWEEN 0 AND 12
            THEN NOT step[1].forced AND step[2] % 9 < step[1].moves AND (step[2] < 9 OR step[1].can_tera)
        ELSE step[2] = -1
    END))::INTEGER AS unlisted_actions,
    coalesce(list_bool_or(list_transform(steps, lambda step:
        coalesce(step[1].last_move = 'struggle', FALSE) OR (step[2] BETWEEN 0 AND 3 AND NOT step[1].forced AND NOT step[1].has_pp)
    )), FALSE) OR coalesce(states[-1].last_move = 'struggle', FALSE) AS used_struggle,
    list_sort(list_distinct(list_concat(list_transform(states, lambda state: state.species), bench))) AS team,
    states[1].species AS lead,
    seen AS opponent_team,
    seen[1] AS opponent_lead,
    round(states[-1].hp + coalesce(list_sum(bench_hp), 0), 6) AS final_hp,
    opponent_hp(states) AS opponent_final_hp,
    (states[-1].hp > 0)::INTEGER + len(bench_hp)::INTEGER AS pokemon_left,
    opponent_pokemon_left,
    won,
    lost,
    md5(array_to_string(list_transform(faced, lambda two: two[1] || ' ' || two[2]), ',')) AS own_signature,
    md5(array_to_string(list_transform(faced, lambda two: two[2] || ' ' || two[1]), ',')) AS other_signature
FROM followed
