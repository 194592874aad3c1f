-- Elo (K = 32, start 1500) beside wins, losses and ties, best agent first.
FROM standings_with()
