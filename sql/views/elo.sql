-- Sequential Elo of each agent: K = 32, start 1500.
FROM elo_with()
