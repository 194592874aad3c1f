-- The matchups beside how much stronger the agent is than the opponent (see differences_with).
CREATE MACRO matchups_with(elo0 := 0, elo1 := 10, alpha := 0.05, beta := 0.05) AS TABLE
SELECT matchups.*, pairs, elo_difference, elo_margin, los, llr, sprt
FROM matchups
JOIN differences_with(elo0 := elo0, elo1 := elo1, alpha := alpha, beta := beta) USING (format, agent, opponent)
ORDER BY format, agent, opponent
