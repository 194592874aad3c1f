-- One row a trajectory: a battle as one side saw it, step by step. Its document is in document_files. Times are in UTC.
--
-- trajectory_id: `<battle_id>-<side>`; of imported ones the name of the file
-- battle_id, format, turns, end_reason: as in battles
-- run_id: the run that added the trajectory
-- side: `p1` or `p2`
-- agent, opponent: whose it is, and against whom
-- result: `WIN`, `LOSS` or `TIE`
-- rating: the agent's on Showdown's ladder; NULL if unrated
-- steps: decisions
-- missing_actions: steps whose action is not known (-1); the placeholder at the end is none
-- invalid_actions: steps for which the agent had no legal choice to offer at first; NULL where nobody counted
-- invalid_rate: missing and invalid actions over steps
-- unlisted_actions: saved indices for which the state shows no option
-- used_struggle: a move was chosen with no PP left, or Struggle was the last move seen
-- team, lead: species of the team, sorted, and the one that began
-- opponent_team, opponent_lead: species that this side saw, in that order, and the first
-- final_hp, opponent_final_hp: what was left in whole Pokémon: six unhurt ones are 6.0; an unseen one counts as unhurt
-- pokemon_left, opponent_pokemon_left: Pokémon that had not fainted
-- played_at: as finished_at in battles
-- source: `recorded`, `recorded by the agent` (metamon, on a server), or the file that it came from
-- name: name of that file without suffix; NULL if recorded
-- invalid_steps: numbers, from 0, of the steps that invalid_actions counts
-- digest: SHA-256 of the document
-- document_file: name of the file of documents that it came in
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
