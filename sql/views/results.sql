-- The battles that count, in the long form: two rows a battle, one from each side.
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
    CASE side WHEN 'p1' THEN p1_invalid ELSE p2_invalid END AS invalid,
    CASE side WHEN 'p1' THEN p1_left ELSE p2_left END AS pokemon_left,
    CASE side WHEN 'p1' THEN p1_team ELSE p2_team END AS team,
    CASE side WHEN 'p1' THEN p2_team ELSE p1_team END AS opponent_team,
    pair_id,
    end_reason,
    finished_at
FROM rated_battles
CROSS JOIN (VALUES ('p1'), ('p2')) AS sides (side)
