-- The battles that equal an earlier one, found by views/repeated_battles.sql in the tables of
-- pokeladder.store.examination.
FROM repeated_battles
ORDER BY battle_id
