-- One row a trajectory: a battle as one side saw it, step by step; its document is in `document_files`. Times in UTC.
-- turns are Showdown's, NULL where unknown. invalid_steps: steps, from 0, at which the agent had no legal choice to
-- offer at first, and invalid_actions their number; NULL where nobody counted. invalid_rate: missing and invalid actions
-- over steps. What the other columns say is told in queries/trajectory_summaries.sql.
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
FROM trajectory_files
JOIN battles USING (battle_id, batch)
