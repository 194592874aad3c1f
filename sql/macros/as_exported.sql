-- A player's name, or two with "_vs_" between, with what a file's name may not hold replaced as exports do (see
-- metamon_file_name): under both names it is the same player.
CREATE MACRO as_exported(player) AS replace(player, '_', '-')
