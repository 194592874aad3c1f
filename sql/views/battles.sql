-- One row for each battle, void ones and self-play included. Times are in UTC, without a zone: they read the same on every
-- machine.
--
-- battle_id: `<run_id>-<game>`; void attempts end in `.void<attempt>`
-- run_id: the run that the battle belongs to
-- kind: `tournament`, `selfplay` or `import`
-- format: the battle format's id
-- venue: `embedded` or `server`
-- p1, p2: agent names
-- p1_team, p2_team: `<team set>/<file name>`; NULL where Showdown made the team
-- pair_id: the mirrored pair; NULL for the odd battle of a matchup
-- seed: the battle's seed in Showdown's notation; NULL if a server chose it (`--server-url`)
-- winner: `p1`, `p2`, or NULL for ties and void battles
-- outcome: `win`, `tie` or `void`
-- end_reason: `normal`, `turn_limit` (Showdown ties past turn 1,000), `endless_clause`, `forfeit` (the agent gave up),
--   `invalid` (too many invalid decisions), `timeout`, `disconnect` (the agent left for good), `agent_crash` (the agent
--   ended its process), `crash` (void), `agent_dead` (void: its process failed three times in a row); of imported battles
--   `undecided` (neither side saw a winner, as when metamon stops at a turn limit) or `unknown`
-- turns: Showdown's turn counter at the end; NULL for imported battles, since metamon does not record it
-- p1_steps, p2_steps: decisions of the side, forced switches included, team preview not
-- p1_invalid, p2_invalid: number of decisions whose first choice was illegal; NULL if unknown
-- p1_left, p2_left: number of Pokémon that the side had left
-- started_at, finished_at: for imported battles the time in the file's name, NULL if only a battle log was ingested
-- showdown_version: version of the npm package pokemon-showdown
-- game: position in the run's schedule, from 0
-- attempt: 0 for the first try at the game
-- batch: name of the file that the battle was first written to
-- p1_version, p2_version: the agent's version; NULL in battles of pokeladder 0.1.0, and in imported ones
-- run_seed: the seed of the run's schedule; NULL as p1_version
-- played: digest of agents, versions, teams, seed and every choice that was played: battles with one digest are one
--   observation; NULL as p1_version
-- unrecorded: number of sides (0 to 2) whose trajectory could not be recorded; NULL as p1_version
SELECT * EXCLUDE (p1_packed, p2_packed, input_log, filename) REPLACE (
    make_timestamp(epoch_us(started_at)) AS started_at,
    make_timestamp(epoch_us(finished_at)) AS finished_at
)
FROM internal.battle_files
