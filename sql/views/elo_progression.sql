-- Every rated battle with both ratings before and after it: K = 32, start 1500. ORDER BY format, seq for their order.
FROM elo_progression_with()
