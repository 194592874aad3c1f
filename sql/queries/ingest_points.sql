-- Points of view that are being taken in, one row each: a trajectory, a row of a battle log, or both of one battle.
-- record: metamon's id of it. result: WIN, LOSS, or TIE where a trajectory ends with neither. line: the row's place in
-- its log. Reads new_trajectories, new_rows, and renames (player, agent).
SELECT
    coalesce(trajectory.format, log.format) AS format,
    coalesce(trajectory.player, log.player) AS player,
    coalesce(trajectory.record, log.record) AS record,
    coalesce(trajectory.opponent, log.opponent) AS opponent,
    coalesce(agents.agent, trajectory.player, log.player) AS agent,
    coalesce(opponents.agent, trajectory.opponent, log.opponent) AS opponent_agent,
    CASE WHEN trajectory.name IS NULL THEN log.result WHEN won THEN 'WIN' WHEN lost THEN 'LOSS' ELSE 'TIE' END AS result,
    coalesce(trajectory.steps, log.steps) AS steps,
    log.team AS team_file,
    log.source AS log,
    log.line,
    trajectory.played_at,
    trajectory.has_time,
    trajectory.name,
    trajectory.own_signature,
    trajectory.other_signature,
    trajectory.pokemon_left,
    trajectory.opponent_pokemon_left
FROM new_trajectories AS trajectory
FULL JOIN new_rows AS log
    ON
        log.format = trajectory.format
        AND log.player = trajectory.player
        AND log.record = trajectory.record
LEFT JOIN renames AS agents ON agents.player = coalesce(trajectory.player, log.player)
LEFT JOIN renames AS opponents ON opponents.player = coalesce(trajectory.opponent, log.opponent)
