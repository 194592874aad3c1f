-- The file names, without their suffixes, of all trajectories that were ever taken in.
SELECT name
FROM trajectories
WHERE name IS NOT NULL
