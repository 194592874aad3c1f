-- The name of a player, or two with "_vs_" between, with the characters replaced that file names of exports cannot
-- contain (see metamon_file_name). Under both names it is the same player.
CREATE MACRO as_exported(player) AS replace(player, '_', '-')
