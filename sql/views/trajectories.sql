-- One row for each trajectory: a battle from the perspective of one side. Its document is in documents. Times are in UTC.
--
-- trajectory_id: `<battle_id>-<side>`; of imported ones the name of the file
-- battle_id, format, turns, end_reason: as in battles
-- run_id: the run that added the trajectory
-- side: `p1` or `p2`
-- agent, opponent: the agents of this and of the other side
-- result: `WIN`, `LOSS` or `TIE`
-- rating: the agent's rating on Showdown's ladder; NULL if unrated
-- steps: number of decisions
-- missing_actions: number of steps whose action is unknown (-1), without the placeholder at the end
-- invalid_actions: number of steps whose first choice was illegal; NULL if unknown
-- invalid_rate: missing and invalid actions over steps
-- unlisted_actions: number of actions for which the state has no option
-- used_struggle: whether a move was chosen without PP, or Struggle was the last move
-- team, lead: species of the team, sorted, and the first one in battle
-- opponent_team, opponent_lead: species that this side saw, in order, and the first of them
-- final_hp, opponent_final_hp: HP at the end in whole Pokémon: six unhurt ones are 6.0; unseen ones count as unhurt
-- pokemon_left, opponent_pokemon_left: number of Pokémon that had not fainted
-- played_at: as finished_at in battles
-- source: `recorded`, `recorded by the agent` (metamon, on a server), or the path of the ingested file
-- name: name of the ingested file without suffix; NULL if recorded
-- invalid_steps: numbers, from 0, of the steps that invalid_actions counts
-- digest: SHA-256 of the document
-- document_file: name of the file that the document was first written to
SELECT
    trajectory_files.trajectory_id,
    battle_id,
    trajectory_files.run_id,
    trajectory_files.format,
    side,
    agent,
    opponent,
    result,
    rating,
    steps,
    missing_actions,
    len(invalid_steps)::INTEGER AS invalid_actions,
    (missing_actions + coalesce(len(invalid_steps), 0)) / nullif(steps, 0) AS invalid_rate,
    unlisted_actions,
    turns,
    used_struggle,
    team,
    lead,
    opponent_team,
    opponent_lead,
    final_hp,
    opponent_final_hp,
    pokemon_left,
    opponent_pokemon_left,
    end_reason,
    make_timestamp(epoch_us(played_at)) AS played_at,
    source,
    name,
    invalid_steps,
    digest,
    document_file
FROM internal.trajectory_files
JOIN battles USING (battle_id, batch)
