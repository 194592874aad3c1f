-- Elo (K = 32, start 1500) beside wins, losses and ties, best agent first. See standings_with() for other settings.
--
-- format, agent: whose
-- rank: 1 is the best of the format by Elo
-- elo: rating after the last battle, in order of finish
-- games, wins, losses, ties: of the agent
-- win_rate: mean score, a tie being half a win
-- win_rate_low, win_rate_high: its 95% Wilson interval
FROM standings_with()
