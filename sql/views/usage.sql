-- Usage and success of each species over all trajectories of a format.
--
-- format, species: the battle format, and the species
-- games, wins, losses, ties: number of trajectories whose team has the species, and by result
-- games_led: number of those in which it was the first in battle
-- usage: share of all teams
-- win_rate: mean score, a tie being half a win
-- win_rate_low, win_rate_high: its 95% Wilson interval
WITH brought AS (
    SELECT format, unnest(team) AS species, lead, result
    FROM trajectories
),

totals AS (
    SELECT
        format,
        species,
        count(*) AS games,
        count(*) FILTER (result = 'WIN') AS wins,
        count(*) FILTER (result = 'LOSS') AS losses,
        count(*) FILTER (result = 'TIE') AS ties,
        count(*) FILTER (lead = species) AS games_led,
        avg(CASE result WHEN 'WIN' THEN 1 WHEN 'TIE' THEN 0.5 ELSE 0 END) AS win_rate
    FROM brought
    GROUP BY ALL
)

SELECT
    * EXCLUDE (win_rate),
    games / (SELECT count(*) FROM trajectories AS teams WHERE teams.format = totals.format) AS usage,
    win_rate,
    unnest(wilson(win_rate, games))
FROM totals
ORDER BY format, games DESC, species
