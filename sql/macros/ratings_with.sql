-- Bradley–Terry ratings on the Elo scale: the maximum likelihood of P(win) = win_chance(gap), a tie being half a win.
--   prior:   as many ties of every agent with one that is rated 1500; 0 for none. With a prior all ratings are finite.
--   returns: format, agent, rating, se, low, high (95%), rank, rank_low, rank_high (those that the intervals allow), games,
--            ladder, status
--
-- Without a prior an agent's rating is finite, and comparable, only among those that have taken points from each other,
-- directly or by way of others. Such a set is a ladder; its mean is 1500 and its ranks are its own. Ladder 1 is the
-- largest. status is rated there; elsewhere, and where an agent is alone and rating NULL: unbeaten (nobody of another ladder
-- took a point from this one), winless (this one took none from others), between (both happened, but never with the same
-- ladder), apart (it met no other).
--
-- Newton's method, damped as for generalised self-concordant functions (Sun and Tran-Dinh 2019: ln(1 + r) / r of the step,
-- r the range of the changes), so that it converges from anywhere. The standard error is the sandwich over mirrored pairs
-- (matchup_totals), times observations / (observations - agents + 1).
CREATE MACRO ratings_with(prior := 0) AS TABLE
WITH RECURSIVE sides AS MATERIALIZED (
    FROM matchup_sides
),

agents AS (
    SELECT format, agent, sum(games)::BIGINT AS games
    FROM sides
    GROUP BY ALL
),

reached AS (
    SELECT format, agent, agent AS other
    FROM agents
    UNION
    SELECT reached.format, reached.agent, sides.opponent
    FROM reached
    JOIN sides ON sides.format = reached.format AND sides.agent = reached.other AND sides.score > 0
    WHERE prior = 0
),

laddered AS (
    SELECT there.format, there.agent, min(there.other) AS head
    FROM reached AS there
    JOIN reached AS back ON back.format = there.format AND back.agent = there.other AND back.other = there.agent
    GROUP BY ALL
),

numbered AS MATERIALIZED (
    SELECT
        format,
        agent,
        games,
        CASE WHEN prior = 0 THEN head ELSE '' END AS head,
        row_number() OVER (PARTITION BY format, CASE WHEN prior = 0 THEN head ELSE '' END ORDER BY agent) AS number
    FROM laddered
    JOIN agents USING (format, agent)
),

ladders AS (
    SELECT
        format,
        head,
        count(*) AS size,
        row_number() OVER (PARTITION BY format ORDER BY count(*) DESC, sum(games) DESC, head) AS ladder
    FROM numbered
    GROUP BY format, head
),

cells AS (
    SELECT
        numbered.format,
        numbered.head,
        numbered.number,
        list(coalesce(sides.games, 0)::DOUBLE ORDER BY other.number) AS games,
        coalesce(sum(sides.score), 0) AS score,
        coalesce(sum(sides.observations), 0) AS observations,
        list(coalesce(square_score, 0) ORDER BY other.number) AS square_score,
        list(coalesce(cross_score, 0) ORDER BY other.number) AS cross_score,
        list(coalesce(square_games, 0) ORDER BY other.number) AS square_games
    FROM numbered
    JOIN numbered AS other USING (format, head)
    LEFT JOIN sides ON sides.format = numbered.format AND sides.agent = numbered.agent AND sides.opponent = other.agent
    GROUP BY ALL
),

systems AS MATERIALIZED (
    SELECT
        format,
        head,
        count(*) AS size,
        list(games ORDER BY number) AS games,
        list(score ORDER BY number) AS scores,
        sum(observations) / 2 AS observations,
        list(square_score ORDER BY number) AS square_score,
        list(cross_score ORDER BY number) AS cross_score,
        list(square_games ORDER BY number) AS square_games
    FROM cells
    GROUP BY format, head
    HAVING count(*) > 1
),

-- strengths are natural logarithms of odds: ratings in units of 400 / ln(10).
newton AS (
    SELECT format, head, 0 AS step, list_transform(scores, lambda score: 0.0::DOUBLE) AS strengths, 1.0::DOUBLE AS change
    FROM systems
    UNION ALL
    SELECT
        format,
        head,
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
                            count / (1 + exp(strengths[other] - strengths[number]))
                        ))
                        + prior * (0.5 - 1 / (1 + exp(-strengths[number])))
                    ])
                ) AS changes
            FROM newton
            JOIN systems USING (format, head)
            WHERE change > 1e-11 AND step < 200
        )
    )
),

solved AS (
    SELECT format, head, max_by(strengths, step) AS strengths
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
        -- How much the observations of each matchup differ from what the ratings expect.
        list_transform(games, lambda row, number: list_transform(row, lambda count, other:
            square_score[number][other]
            - 2 * cross_score[number][other] / (1 + exp(strengths[other] - strengths[number]))
            + square_games[number][other] / pow(1 + exp(strengths[other] - strengths[number]), 2)
        )) AS spread
    FROM solved
    JOIN systems USING (format, head)
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
        head,
        unnest(range(1, size + 1)) AS number,
        unnest(list_transform(strengths, lambda strength: strength - list_avg(strengths))) AS strength,
        unnest(list_transform(influence, lambda row:
            observations / greatest(observations - size + 1, 1)
            * list_sum(list_transform(spread, lambda spreads, number: list_sum(list_transform(spreads, lambda value, place:
                value * pow(row[number] - row[place], 2) / 2
            ))))
            + prior * list_sum(list_transform(row, lambda value, place:
                pow(value, 2) * exp(strengths[place]) / pow(1 + exp(strengths[place]), 2)
            ))
        )) AS variance
    FROM centred
),

rated AS (
    SELECT
        format,
        agent,
        games,
        ladder,
        head,
        1500 + strength * 400 / ln(10) AS rating,
        sqrt(variance) * 400 / ln(10) AS se,
        rating - 1.959963984540054 * se AS low,
        rating + 1.959963984540054 * se AS high
    FROM numbered
    JOIN ladders USING (format, head)
    LEFT JOIN estimated USING (format, head, number)
),

-- Which ladders took points from others, and lost them.
crossed AS (
    SELECT
        own.format,
        own.head,
        bool_or(sides.score > 0) AS took,
        bool_or(sides.score < sides.games) AS lost
    FROM numbered AS own
    JOIN sides ON sides.format = own.format AND sides.agent = own.agent
    JOIN numbered AS other ON other.format = own.format AND other.agent = sides.opponent AND other.head <> own.head
    GROUP BY ALL
)

SELECT
    format,
    agent,
    rating,
    se,
    low,
    high,
    CASE
        WHEN rating IS NOT NULL THEN rank() OVER (PARTITION BY format, ladder ORDER BY round(rating, 6) DESC)
    END AS rank,
    CASE WHEN rating IS NOT NULL THEN 1 + (
        SELECT count(*) FROM rated AS better
        WHERE better.format = rated.format AND better.ladder = rated.ladder AND better.low > rated.high
    ) END AS rank_low,
    CASE WHEN rating IS NOT NULL THEN (
        SELECT count(*) FROM rated AS worse
        WHERE worse.format = rated.format AND worse.ladder = rated.ladder AND NOT worse.high < rated.low
    ) END AS rank_high,
    games,
    ladder,
    CASE
        WHEN ladder = 1 AND rating IS NOT NULL THEN 'rated'
        WHEN took AND lost THEN 'between'
        WHEN took THEN 'unbeaten'
        WHEN lost THEN 'winless'
        ELSE 'apart'
    END AS status
FROM rated
LEFT JOIN crossed USING (format, head)
ORDER BY format, ladder, rank, agent
