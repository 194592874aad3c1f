-- What the server said of each battle that was played on one: what it called the battle, under which names the agents
-- played, and the log as a spectator sees it. Not cut down to a slice.
SELECT said.battle_id, said.room, said.p1_user, said.p2_user, said.log
FROM server_battle_files AS said
JOIN battle_files AS battles USING (battle_id, batch)
