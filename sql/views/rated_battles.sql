-- The battles that count: neither void, nor an agent against itself, nor a repetition of an earlier battle.
--
-- *: as in battles
-- score: p1's: 1, 0.5 for a tie, or 0
SELECT
    *,
    CASE winner WHEN 'p1' THEN 1 WHEN 'p2' THEN 0 ELSE 0.5 END::DOUBLE AS score
FROM battles
WHERE outcome <> 'void' AND p1 <> p2 AND battle_id NOT IN (SELECT battle_id FROM repeated_battles)
