'use strict';
/* Plays battles of Showdown's own random AI in this one process: argv is the simulator's folder, format, battles. */
const path = require('node:path');

const [, , folder, format, battles] = process.argv;
const sim = path.join(folder, 'node_modules', 'pokemon-showdown', 'dist', 'sim');
const { BattleStream, getPlayerStreams } = require(path.join(sim, 'battle-stream'));
const { RandomPlayerAI } = require(path.join(sim, 'tools', 'random-player-ai'));
const { Dex } = require(path.join(sim, 'dex'));

async function play(number) {
	const streams = getPlayerStreams(new BattleStream());
	for (const side of ['p1', 'p2']) {
		void new RandomPlayerAI(streams[side], { move: 0.7, mega: 0.6, seed: [number, 2, 3, 4] }).start();
	}
	void streams.omniscient.write(
		`>start ${JSON.stringify({ formatid: format, seed: [number, 1, 1, 1] })}\n` +
			`>player p1 ${JSON.stringify({ name: 'a', seed: [number, 5, 6, 7] })}\n` +
			`>player p2 ${JSON.stringify({ name: 'b', seed: [number, 8, 9, 10] })}`,
	);
	let turns = 0;
	for await (const chunk of streams.omniscient) {
		for (const line of chunk.split('\n')) if (line.startsWith('|turn|')) turns = Number(line.slice(6));
	}
	return turns;
}

(async () => {
	Dex.includeData();
	await play(0);
	const started = process.hrtime.bigint();
	let turns = 0;
	for (let number = 1; number <= Number(battles); number++) turns += await play(number);
	console.log(JSON.stringify({ battles: Number(battles), turns, seconds: Number(process.hrtime.bigint() - started) / 1e9 }));
})();
