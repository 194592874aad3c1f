-- Glicko-1 with GXE, the numbers that Showdown shows: each battle a rating period of its own, in the order of elo. Agents do
-- not change while they rest, so deviations do not grow with time.
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
