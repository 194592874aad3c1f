-- Every rated battle with both ratings before and after it: K = 32, start 1500. ORDER BY format, seq for their order. See
-- elo_progression_with() for other settings.
--
-- format, battle_id, p1, p2: as in battles
-- seq: number of the battle in its format, from 1, in order of finish
-- score: p1's: 1, 0.5 for a tie, or 0
-- p1_before, p1_after, p2_before, p2_after: the agent's Elo before and after the battle
FROM elo_progression_with()
