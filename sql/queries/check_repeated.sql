-- The battles that equal an earlier one, as views/repeated_battles.sql finds them: battle_id, and repeats, the battle_id of the
-- first of them. Reads the tables of pokeladder.check.
WITH shared AS (
    SELECT format, run_seed
    FROM battles
    WHERE played IS NOT NULL
    GROUP BY format, run_seed
    HAVING min(run_id) <> max(run_id)
)

SELECT battle_id, first_value(battle_id) OVER same AS repeats
FROM battles
WHERE (format, run_seed) IN (SELECT (format, run_seed) FROM shared) AND outcome <> 'void' AND played IS NOT NULL
WINDOW same AS (PARTITION BY played ORDER BY finished_at, battle_id)
QUALIFY row_number() OVER same > 1
ORDER BY battle_id
