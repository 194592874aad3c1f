-- Room, user names and log of each battle that was played on a server. Contains all battles, also in a slice.
--
-- battle_id: as in battles
-- room: the server's id of the battle
-- p1_user, p2_user: the user name of the side's agent
-- log: the battle's protocol as a spectator sees it
SELECT said.battle_id, said.room, said.p1_user, said.p2_user, said.log
FROM internal.server_battle_files AS said
JOIN internal.battle_files AS battles USING (battle_id, batch)
