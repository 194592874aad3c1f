-- Sequential Elo of each agent after its last battle, in order of finish (K = 32, start 1500), with its wins, losses and
-- ties. See elo_with() for other settings.
--
-- format, agent: the agent, and the format in which it is rated
-- rank: 1 is the best of the format
-- elo: rating
-- games, wins, losses, ties: battles that count, and how they ended for the agent
-- win_rate: mean score, a tie being half a win
-- win_rate_low, win_rate_high: its 95% Wilson interval
FROM elo_with()
