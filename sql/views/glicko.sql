-- Glicko-1 with GXE, the numbers that Showdown shows: each battle a rating period of its own, in order of finish. Agents do not
-- change while they rest, so deviations do not grow with time.
--
-- format, agent: whose
-- glicko: rating
-- deviation: its deviation, 25 to 130
-- gxe: chance in percent to beat a player who has just begun
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
