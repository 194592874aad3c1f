-- Elo of each agent after its last battle, in order of finish: K = 32, start 1500. See elo_with() for other settings.
--
-- format, agent: whose
-- elo: rating
-- rank: 1 is the best of the format
-- games: battles that count
FROM elo_with()
