'use strict';
/*
 * Plays input logs in Showdown's own stream and tells what each side is sent: for each log a JSON array of
 * [side, lines, request or null, the choice that it then makes or null], in order, on a line of its own.
 * argv[2] is the folder whose node_modules holds pokemon-showdown; a JSON array of input logs comes on stdin.
 */
const path = require('node:path');
const { BattleStream } = require(path.join(process.argv[2], 'node_modules/pokemon-showdown/dist/sim/battle-stream'));
const { extractChannelMessages } = require(path.join(process.argv[2], 'node_modules/pokemon-showdown/dist/sim/battle'));

function watch(log) {
	const stream = new BattleStream({ noCatch: true, keepAlive: true });
	const lines = { p1: [], p2: [] };
	const requests = { p1: null, p2: null };
	const told = [];
	const open = { p1: null, p2: null };
	stream.pushMessage = (type, data) => {
		if (type === 'update') {
			const channels = extractChannelMessages(data, [1, 2]);
			lines.p1.push(...channels[1]);
			lines.p2.push(...channels[2]);
		} else if (type === 'sideupdate') {
			const [side, line] = data.split(/\n(.*)/s);
			if (line.startsWith('|request|')) requests[side] = JSON.parse(line.slice('|request|'.length));
		}
	};
	const hand = () => {
		for (const side of ['p1', 'p2']) {
			if (!lines[side].length && !requests[side]) continue;
			const entry = [side, lines[side], requests[side], null];
			if (requests[side]) open[side] = entry;
			told.push(entry);
			lines[side] = [];
			requests[side] = null;
		}
	};
	for (const line of log.split('\n')) {
		const [, side, choice] = /^>(p[12]) ([^{]*)$/.exec(line) || [];
		if (side && open[side]) open[side][3] = choice;
		const fight = choice === 'move fight' && !stream.battle.getSide(side).activeRequest.active[0].moves.some((move) => move.id === 'fight');
		stream._writeLines(fight ? `>${side} default` : line);
		stream.battle?.sendUpdates();
		hand();
	}
	return told;
}

let text = '';
process.stdin.on('data', (chunk) => (text += chunk));
process.stdin.on('end', () => {
	for (const log of JSON.parse(text)) process.stdout.write(`${JSON.stringify(watch(log))}\n`);
});
