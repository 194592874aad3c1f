-- The battles that equal an earlier one, as views/repeated_battles.sql finds them in the tables of pokeladder.store.check.
FROM repeated_battles
ORDER BY battle_id
