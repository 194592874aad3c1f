-- Bradley–Terry ratings on the Elo scale: the maximum likelihood of P(win) = win_chance(gap), a tie being half a win.
--   prior:   as many ties of every agent with one that is rated 1500; 0 for none. With a prior all ratings are finite.
--   returns: format, agent, rating, se, low, high (95%), rank, rank_low, rank_high (those that the intervals allow), games,
--            component, status
--
-- Without a prior an agent's rating is finite, and comparable, only within its component (see rating_components); its mean is
-- 1500 and its ranks are its own. status is rated in component 1; elsewhere, and where an agent is alone and rating NULL:
-- unbeaten (nobody of another component took a point from this one), winless (this one took none from others), between
-- (both happened, but never with the same component), apart (it met no other).
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
