-- The maximum-likelihood fit of each component of more than one agent.
--   prior:   as in ratings_with
--   returns: format, agent, games, component, took, lost as in rating_components; strength (natural logarithm of odds, mean
--            0 in its component) and its variance, NULL for a single agent
--
-- Newton's method, damped as for generalised self-concordant functions (Sun and Tran-Dinh 2019: ln(1 + r) / r of the
-- step, r the range of the changes), so that it converges from any start. The variance is the sandwich estimator over
-- mirrored pairs (internal.matchup_totals), times observations / (observations - agents + 1).
CREATE MACRO rating_estimates(prior := 0) AS TABLE
WITH RECURSIVE agents AS MATERIALIZED (
    FROM rating_components(prior := prior)
),

systems AS MATERIALIZED (
    SELECT
        format,
        component,
        count(*) AS size,
        list(games_with ORDER BY number) AS games,
        list(score ORDER BY number) AS scores,
        sum(observations) / 2 AS observations,
        list(square_score ORDER BY number) AS square_score,
        list(cross_score ORDER BY number) AS cross_score,
        list(square_games ORDER BY number) AS square_games
    FROM agents
    GROUP BY format, component
    HAVING count(*) > 1
),

-- strengths are natural logarithms of odds: ratings in units of elo_unit().
newton AS (
    SELECT format, component, 0 AS step, list_transform(scores, lambda score: 0.0::DOUBLE) AS strengths, 1.0::DOUBLE AS change
    FROM systems
    UNION ALL
    SELECT
        format,
        component,
        step + 1,
        list_transform(strengths, lambda strength, number:
            strength + changes[number][1] * CASE WHEN width = 0 THEN 1 ELSE ln(1 + width) / width END
        ),
        width
    FROM (
        SELECT *, list_max(list_transform(changes, lambda row: row[1])) - list_min(list_transform(changes, lambda row: row[1])) AS width
        FROM (
            SELECT
                newton.*,
                solve_linear(
                    information(games, strengths, prior),
                    list_transform(scores, lambda score, number: [
                        score
                        - list_sum(list_transform(games[number], lambda count, other:
                            count * logistic(strengths[number] - strengths[other])
                        ))
                        + prior * (0.5 - logistic(strengths[number]))
                    ])
                ) AS changes
            FROM newton
            JOIN systems USING (format, component)
            WHERE change > 1e-11 AND step < 200
        )
    )
),

solved AS (
    SELECT format, component, max_by(strengths, step) AS strengths
    FROM newton
    GROUP BY ALL
),

inverted AS (
    SELECT
        *,
        solve_linear(
            information(games, strengths, prior),
            list_transform(scores, lambda score, number: list_transform(scores, lambda other, place:
                CASE WHEN number = place THEN 1.0 ELSE 0.0 END
            ))
        ) AS inverse,
        -- Squared differences between observed and expected scores of each matchup.
        list_transform(games, lambda row, number: list_transform(row, lambda count, other:
            square_score[number][other]
            - 2 * cross_score[number][other] * logistic(strengths[number] - strengths[other])
            + square_games[number][other] * pow(logistic(strengths[number] - strengths[other]), 2)
        )) AS spread
    FROM solved
    JOIN systems USING (format, component)
),

centred AS (
    SELECT
        * EXCLUDE (means),
        list_transform(inverse, lambda row: list_transform(row, lambda value, place: value - means[place])) AS influence
    FROM (
        SELECT *, list_transform(inverse, lambda row: list_avg(row)) AS means
        FROM inverted
    )
),

estimated AS (
    SELECT
        format,
        component,
        unnest(range(1, size + 1)) AS number,
        unnest(list_transform(strengths, lambda strength: strength - list_avg(strengths))) AS strength,
        unnest(list_transform(influence, lambda row:
            observations / greatest(observations - size + 1, 1)
            * list_sum(list_transform(spread, lambda spreads, number: list_sum(list_transform(spreads, lambda value, place:
                value * pow(row[number] - row[place], 2) / 2
            ))))
            + prior * list_sum(list_transform(row, lambda value, place:
                pow(value, 2) * logistic(strengths[place]) * logistic(-strengths[place])
            ))
        )) AS variance
    FROM centred
)

SELECT format, agent, games, component, took, lost, strength, variance
FROM agents
LEFT JOIN estimated USING (format, component, number)
