'use strict';
/* What each Pokémon can learn by a generation: {species: {name, abilities, moves}}. argv: Showdown's folder, generation. */
const path = require('node:path');

const [, , folder, gen] = process.argv;
const { Dex } = require(path.join(folder, 'node_modules', 'pokemon-showdown', 'dist', 'sim', 'dex'));
const dex = Dex.mod(`gen${gen}`);
const found = {};
for (const species of dex.species.all()) {
	if (!species.exists || species.isNonstandard || species.battleOnly || species.gen > gen) continue;
	const moves = new Set();
	for (const { learnset } of dex.species.getFullLearnset(species.id)) {
		for (const [move, sources] of Object.entries(learnset)) {
			if (!dex.moves.get(move).isNonstandard && sources.some((source) => source[0] <= gen)) moves.add(move);
		}
	}
	found[species.id] = { name: species.name, abilities: Object.values(species.abilities), moves: [...moves] };
}
process.stdout.write(JSON.stringify(found));
