-- The rows of elo_results_matchup_matrix.csv, best agent first: Model and the list of its cells, in the order of the
-- rows: `W-L` for the agent of the row (without ties), `-` on the diagonal, `0-0` for agents that have not met.
-- Takes $k and $initial. pokeladder.query.statements.write_query makes columns of the cells.
WITH ranked AS (
    SELECT format, agent, row_number() OVER (ORDER BY format, rank, agent) AS place
    FROM elo_with(k := $k, initial := $initial)
)
SELECT
    ranked.agent AS "Model",
    list(
        CASE
            WHEN ranked.place = other.place THEN '-'
            ELSE coalesce(matchups.wins, 0) || '-' || coalesce(matchups.losses, 0)
        END
        ORDER BY other.place
    ) AS cells
FROM ranked
CROSS JOIN ranked AS other
LEFT JOIN matchups
    ON matchups.format = ranked.format AND matchups.agent = ranked.agent AND matchups.opponent = other.agent
GROUP BY ranked.place, ranked.agent
ORDER BY ranked.place
