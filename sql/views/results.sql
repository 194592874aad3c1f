-- The battles that count, two rows each: one from each side.
--
-- battle_id, run_id, format, turns, pair_id, end_reason, finished_at: as in battles
-- side: `p1` or `p2`
-- agent, opponent: the agents of this and of the other side
-- score: 1, 0.5 for a tie, or 0
-- result: `WIN`, `LOSS` or `TIE`
-- steps: number of the side's decisions
-- invalid_actions: number of decisions whose first choice was illegal; NULL if unknown
-- pokemon_left: number of Pokémon that the side had left
-- team_name, opponent_team_name: `<team set>/<file name>`; NULL where Showdown made the team
SELECT
    battle_id,
    run_id,
    format,
    side,
    CASE side WHEN 'p1' THEN p1 ELSE p2 END AS agent,
    CASE side WHEN 'p1' THEN p2 ELSE p1 END AS opponent,
    CASE side WHEN 'p1' THEN score ELSE 1 - score END AS score,
    CASE WHEN winner IS NULL THEN 'TIE' WHEN winner = side THEN 'WIN' ELSE 'LOSS' END AS result,
    turns,
    CASE side WHEN 'p1' THEN p1_steps ELSE p2_steps END AS steps,
    CASE side WHEN 'p1' THEN p1_invalid ELSE p2_invalid END AS invalid_actions,
    CASE side WHEN 'p1' THEN p1_left ELSE p2_left END AS pokemon_left,
    CASE side WHEN 'p1' THEN p1_team ELSE p2_team END AS team_name,
    CASE side WHEN 'p1' THEN p2_team ELSE p1_team END AS opponent_team_name,
    pair_id,
    end_reason,
    finished_at
FROM rated_battles
CROSS JOIN (VALUES ('p1'), ('p2')) AS sides (side)
