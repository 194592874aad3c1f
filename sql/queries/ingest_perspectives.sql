-- The perspectives to ingest, one row each: a trajectory, a row of a battle log, or both of one battle (see
-- pokeladder.store.rows.Perspective). Names of players may contain "_vs_": a row of a log separates them reliably, a file
-- name does not. Reads new_trajectories, new_rows, and renames (player, agent).
WITH joined AS (
    SELECT
        coalesce(trajectory.name, concat_ws('/', log.format, log.player, log.opponent, log.record)) AS point,
        coalesce(trajectory.format, log.format) AS format,
        coalesce(log.player, trajectory.player) AS player,
        coalesce(log.opponent, trajectory.opponent) AS opponent,
        coalesce(trajectory.record, log.record) AS record,
        CASE
            WHEN trajectory.name IS NULL THEN log.result
            WHEN won THEN 'WIN'
            WHEN lost THEN 'LOSS'
            ELSE 'TIE'
        END AS result,
        coalesce(trajectory.steps, log.steps) AS steps,
        log.team AS team_file,
        log.opponent_team AS opponent_team_file,
        log.source AS log,
        log.line,
        trajectory.name,
        trajectory.played_at,
        trajectory.own_signature,
        trajectory.other_signature,
        trajectory.pokemon_left,
        trajectory.opponent_pokemon_left
    FROM new_trajectories AS trajectory
    FULL JOIN new_rows AS log
        ON
            log.format = trajectory.format
            AND log.record = trajectory.record
            AND as_exported(log.player || '_vs_' || log.opponent)
            = as_exported(trajectory.player || '_vs_' || trajectory.opponent)
)

SELECT
    joined.*,
    coalesce(own.agent, joined.player) AS agent,
    coalesce(other.agent, joined.opponent) AS opponent_agent
FROM joined
LEFT JOIN renames AS own ON own.player = joined.player
LEFT JOIN renames AS other ON other.player = joined.opponent
