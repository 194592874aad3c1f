-- Bradley–Terry ratings on the Elo scale: the maximum likelihood of P(win) = win_chance(gap), a tie being half a win.
--   prior:   number of ties of every agent with one rated 1500; 0 for none. With a prior all ratings are finite.
--   returns: format, agent, rating, se, low, high (95%), rank, rank_low, rank_high (allowed by the intervals), games,
--            component, status
--
-- Without a prior ratings are finite and comparable only within a component (see rating_components), whose mean is 1500
-- and which has ranks of its own. status is rated in component 1. In other components, and for a single agent, whose
-- rating is NULL, it is unbeaten (no other component took a point from it), winless (it took none from others), between
-- (both happened, with different components), or apart (it met no others).
CREATE MACRO ratings_with(prior := 0) AS TABLE
WITH rated AS MATERIALIZED (
    SELECT
        format,
        agent,
        games,
        component,
        1500 + strength * elo_unit() AS rating,
        sqrt(variance) * elo_unit() AS se,
        rating - z95() * se AS low,
        rating + z95() * se AS high,
        bool_or(took) OVER (PARTITION BY format, component) AS took,
        bool_or(lost) OVER (PARTITION BY format, component) AS lost
    FROM rating_estimates(prior := prior)
)

SELECT
    format,
    agent,
    rating,
    se,
    low,
    high,
    CASE
        WHEN rating IS NOT NULL THEN rank() OVER (PARTITION BY format, component ORDER BY round(rating, 6) DESC)
    END AS rank,
    CASE WHEN rating IS NOT NULL THEN 1 + (
        SELECT count(*) FROM rated AS better
        WHERE better.format = rated.format AND better.component = rated.component AND better.low > rated.high
    ) END AS rank_low,
    CASE WHEN rating IS NOT NULL THEN (
        SELECT count(*) FROM rated AS worse
        WHERE worse.format = rated.format AND worse.component = rated.component AND NOT worse.high < rated.low
    ) END AS rank_high,
    games,
    component,
    CASE
        WHEN component = 1 AND rating IS NOT NULL THEN 'rated'
        WHEN took AND lost THEN 'between'
        WHEN took THEN 'unbeaten'
        WHEN lost THEN 'winless'
        ELSE 'apart'
    END AS status
FROM rated
ORDER BY format, component, rank, agent
