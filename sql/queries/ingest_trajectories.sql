-- Rows of a trajectory file in the order of pokeladder.store.rows.Trajectory: those of new battles numbered from $begin
-- up to $end and, if $known, those of battles of the store. Takes $run and $batch, too. Agents, and the result of a side
-- that saw no end, are those of the battle. Reads places, new_trajectories, and battles of the same part (as
-- `new_battles`).
SELECT
    name AS trajectory_id,
    coalesce(places.battle_id, format('{}-{:06d}', $run, number)) AS battle_id,
    coalesce(places.batch, $batch) AS batch,
    document_file,
    $run AS run_id,
    places.format,
    side,
    if(side = 'p1', p1, p2) AS agent,
    if(side = 'p1', p2, p1) AS opponent,
    CASE WHEN winner IS NULL THEN 'TIE' WHEN winner = side THEN 'WIN' ELSE 'LOSS' END AS result,
    new_trajectories.rating,
    new_trajectories.steps,
    missing_actions,
    NULL AS invalid_steps,
    unlisted_actions,
    used_struggle,
    team,
    lead,
    opponent_team,
    opponent_lead,
    final_hp,
    opponent_final_hp,
    new_trajectories.pokemon_left,
    new_trajectories.opponent_pokemon_left,
    new_trajectories.played_at,
    source,
    name,
    digest
FROM places
JOIN new_trajectories USING (name)
JOIN (
    SELECT battle_id, winner, p1, p2 FROM new_battles
    UNION ALL
    SELECT battle_id, winner, p1, p2 FROM battles WHERE $known
) AS decided ON decided.battle_id = coalesce(places.battle_id, format('{}-{:06d}', $run, number))
WHERE
    (number >= $begin AND number < $end)
    OR ($known AND places.battle_id IS NOT NULL AND tells_trajectory)
ORDER BY battle_id, side
