-- The view matchups with other hypotheses of the sequential test.
--   elo0, elo1, alpha, beta: the hypotheses of the sequential test (SPRT), in Elo, and its error rates
--   returns: the columns of matchups; sprt is H1 when llr has reached ln((1 - beta) / alpha), and H0 below
--     ln(beta / (1 - alpha))
-- Errors are those of the mean over observations (see internal.matchup_totals): pentanomial for mirrored pairs, else
-- trinomial. elo_difference is NULL for an agent that has scored nothing or all, elo_margin where its interval would reach
-- that far. Where observations do not vary, los is that of a uniform prior, and llr that of won and lost ones.
CREATE MACRO matchups_with(elo0 := 0, elo1 := 10, alpha := 0.05, beta := 0.05) AS TABLE
WITH measured AS (
    SELECT
        *,
        score / games AS win_rate,
        sqrt(greatest(square_score - 2 * win_rate * cross_score + win_rate * win_rate * square_games, 0)) / games AS se,
        win_chance(elo0) AS score0,
        win_chance(elo1) AS score1
    FROM internal.matchup_totals
),

tested AS (
    SELECT
        *,
        -- Sums of squares leave 1e-9 of the size of a score where nothing varies.
        se > 1e-7 AS varies,
        CASE
            WHEN varies THEN (score1 - score0) * (2 * win_rate - score0 - score1) / (2 * se * se)
            ELSE observations * (win_rate * ln(score1 / score0) + (1 - win_rate) * ln((1 - score1) / (1 - score0)))
        END AS llr
    FROM measured
)

SELECT
    format,
    agent,
    opponent,
    games,
    wins,
    losses,
    ties,
    win_rate,
    unnest(wilson(win_rate, games)),
    pairs,
    elo_of_score(win_rate) AS elo_difference,
    (elo_of_score(win_rate + z95() * se) - elo_of_score(win_rate - z95() * se)) / 2 AS elo_margin,
    CASE
        WHEN varies THEN normal_cdf((win_rate - 0.5) / se)
        WHEN win_rate > 0.5 THEN 1 - pow(0.5, observations + 1)
        WHEN win_rate < 0.5 THEN pow(0.5, observations + 1)
        ELSE 0.5
    END AS los,
    llr,
    CASE
        WHEN llr >= ln((1 - beta) / alpha) THEN 'H1'
        WHEN llr <= ln(beta / (1 - alpha)) THEN 'H0'
        ELSE 'continue'
    END AS sprt
FROM tested
ORDER BY format, agent, opponent
