-- The rows of a trajectory file in the order of pokeladder.store.rows.Trajectory: columns of `summaries` (see
-- trajectory_summaries), which come from the document, and of `facts`. A fault raises an error.
SELECT
    trajectory_id,
    battle_id,
    batch,
    document_file,
    run_id,
    format,
    side,
    agent,
    opponent,
    result,
    rating,
    steps,
    missing_actions,
    invalid_steps,
    unlisted_actions,
    used_struggle,
    team,
    lead,
    opponent_team,
    opponent_lead,
    final_hp,
    opponent_final_hp,
    pokemon_left,
    opponent_pokemon_left,
    played_at,
    source,
    name,
    digest
FROM facts
JOIN summaries USING (trajectory_id)
WHERE CASE WHEN fault IS NULL THEN TRUE ELSE error(trajectory_id || ': ' || fault) END
