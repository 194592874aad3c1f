-- Glicko-1 with GXE, as Showdown shows them: each battle is a rating period, in order of finish. Deviations do not grow with
-- time, since agents do not change between battles.
--
-- format, agent: the agent, and the format of its battles
-- glicko: rating
-- deviation: its deviation, 25 to 130
-- gxe: chance in percent to beat a new player
-- rank: 1 is the best of the format
-- games: battles that count
SELECT
    format,
    agent,
    rating AS glicko,
    deviation,
    gxe(rating, deviation) AS gxe,
    rank() OVER (PARTITION BY format ORDER BY round(rating, 6) DESC) AS rank,
    games
FROM glicko_latest()
ORDER BY format, rank, agent
