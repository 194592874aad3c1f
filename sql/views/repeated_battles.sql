-- The battles that repeat an earlier one of the slice: agents, versions, teams, sides, seed and all choices are the same, so
-- they do not count. Only runs of one format and seed can have equal battles, so only those are compared.
--
-- battle_id: the battle that does not count
-- repeats: the first battle that it equals
WITH shared AS (
    SELECT format, run_seed
    FROM battles
    WHERE played IS NOT NULL
    GROUP BY format, run_seed
    HAVING min(run_id) <> max(run_id)
),

compared AS (
    SELECT
        battle_id,
        row_number() OVER same AS place,
        first_value(battle_id) OVER same AS repeats
    FROM battles
    WHERE (format, run_seed) IN (SELECT (format, run_seed) FROM shared) AND outcome <> 'void' AND played IS NOT NULL
    WINDOW same AS (PARTITION BY played ORDER BY finished_at, battle_id)
)

SELECT battle_id, repeats
FROM compared
WHERE place > 1
