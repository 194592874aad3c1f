'use strict';
/*
 * Plays many Showdown battles at once over pipes.
 *
 * argv[2] is the folder whose node_modules contains pokemon-showdown; argv[3] is "fastpath" to use fastpath.js.
 * Each line on stdin and on stdout is a JSON array:
 *
 *   in   ["start", id, format, seed, {name, team | seed}, {name, team | seed}]
 *        ["choose", id, side, choice]      a client's choice, without "/choose"
 *        ["random", id, side, seed]        a random legal choice for that side
 *        ["lose", id, side]                that side forfeits
 *        ["drop", id]                      end a battle without a result
 *        ["ask", number, question, arguments...]    see `answers`
 *   out  ["battle", id, p1 lines, p2 lines, end | null, [p1 choice | null, p2 choice | null], p1 request | null,
 *         p2 request | null]               the choices that were carried out since the last such message
 *        ["crash", id, stack]              the simulator raised in that battle, which is dropped
 *        ["answer", number, answer] or ["refusal", number, message]
 *
 * The process ends when stdin is closed, so it cannot outlive the process that started it.
 */
const { enableCompileCache, flushCompileCache } = require('node:module');
const path = require('node:path');

// Compiling takes a third of the simulator's start without the cache. Node has both functions from 22.10 on.
if (flushCompileCache) {
	enableCompileCache(path.join(process.argv[2], 'compiled'));
	setTimeout(flushCompileCache, 2000).unref();
}
const root = path.join(process.argv[2], 'node_modules', 'pokemon-showdown');
const fromSim = (name) => require(path.join(root, 'dist', 'sim', name));
const { Battle, extractChannelMessages } = fromSim('battle');
const { BattleStream } = fromSim('battle-stream');
const { Dex } = fromSim('dex');
const { PRNG } = fromSim('prng');
const { Teams } = fromSim('teams');
const { TeamValidator } = fromSim('team-validator');
if (process.argv[3] === 'fastpath') require('./fastpath').install({ Battle, Dex });

const REQUEST = '|request|';
// Part of the Endless Battle Clause's message about the side that loses.
const BERRY_CYCLING = 'berry-cycling and thus loses';
const battles = new Map();
let output = [];

/* Elements in `raw` are JSON texts. */
function send(message, ...raw) {
	const text = JSON.stringify(message);
	output.push(raw.length ? `${text.slice(0, -1)},${raw.join(',')}]` : text);
}

function winnerSide(battle) {
	const winner = battle.sides.find((side) => side.name === battle.winner);
	return winner ? winner.id : null;
}

class RunningBattle {
	constructor(id, formatid, seed, p1, p2) {
		this.id = id;
		this.clear();
		this.muted = null;
		this.forfeited = false;
		this.logged = 0;
		this.battle = new Battle({ formatid, seed, send: (type, data) => this.receive(type, data) });
		this.battle.setPlayer('p1', p1);
		this.battle.setPlayer('p2', p2);
		for (const side of this.battle.sides) logSlots(side);
	}

	clear() {
		this.lines = { p1: [], p2: [] };
		this.requests = { p1: 'null', p2: 'null' };
	}

	receive(type, data) {
		if (type === 'update') {
			const channels = extractChannelMessages(Array.isArray(data) ? data.join('\n') : data, [1, 2]);
			this.lines.p1.push(...channels[1]);
			this.lines.p2.push(...channels[2]);
		} else if (type === 'sideupdate') {
			const cut = data.indexOf('\n');
			const side = data.slice(0, cut);
			const isRequest = data.startsWith(REQUEST, cut + 1);
			// A long turn is sent in parts, so a muted side may receive its next request.
			if (side === this.muted && (!isRequest || data.includes('"update":true'))) return;
			if (isRequest) this.requests[side] = data.slice(cut + 1 + REQUEST.length);
			else this.lines[side].push(data.slice(cut + 1));
		}
	}

	lose(side) {
		this.forfeited = true;
		this.battle.lose(side);
		this.battle.inputLog.push(`>forcelose ${side}`);
	}

	/* The side is muted: messages about refused choices would reveal facts that its player did not ask for. */
	chooseRandomly(sideId, seed) {
		const side = this.battle.getSide(sideId);
		const choices = new PRNG(seed);
		const candidates = candidateChoices(side.activeRequest);
		choices.shuffle(candidates);
		this.muted = sideId;
		try {
			for (const choice of [...candidates, 'default']) {
				if (this.battle.choose(sideId, choice)) return;
			}
		} finally {
			this.muted = null;
		}
		throw new Error(`no legal choice for ${sideId} in ${JSON.stringify(side.activeRequest)}`);
	}

	/* The last choice of each side since the previous call, or null. */
	carriedOut() {
		const chosen = [null, null];
		const { inputLog } = this.battle;
		for (; this.logged < inputLog.length; this.logged++) {
			const [, side, choice] = /^>p([12]) (.+)/.exec(inputLog[this.logged]) || [];
			if (side) chosen[side - 1] = choice;
		}
		return chosen;
	}

	/* Lines, choices and requests (as JSON) since the previous call: see "battle" above. */
	takeUpdate() {
		this.battle.sendUpdates();
		const { lines, requests } = this;
		this.clear();
		return { lines: [lines.p1.join('\n'), lines.p2.join('\n')], chosen: this.carriedOut(), requests };
	}

	flush() {
		const { lines, chosen, requests } = this.takeUpdate();
		let end = null;
		if (this.battle.ended) {
			end = {
				winner: winnerSide(this.battle),
				turns: this.battle.turn,
				forfeited: this.forfeited,
				berry_cycling: this.battle.log.some((line) => line.includes(BERRY_CYCLING)),
				left: this.battle.sides.map((side) => side.pokemonLeft),
				teams: this.battle.sides.map((side) => Teams.pack(side.team)),
				input_log: this.battle.inputLog.join('\n'),
			};
			forget(this.id);
		}
		send(['battle', this.id, ...lines, end, chosen], requests.p1, requests.p2);
	}
}

/*
 * Logs the slot of a move if its name is ambiguous: in gen 1 Mimic can copy a move that the Pokémon already has, and the
 * simulator reads a name of digits as a slot.
 */
function logSlots(side) {
	const getChoice = side.getChoice.bind(side);
	side.getChoice = () => {
		const choice = getChoice();
		const [action] = side.choice.actions;
		if (action?.choice !== 'move' || action.moveSlot === undefined) return choice;
		const { moves } = side.activeRequest.active[0];
		const twice = moves.filter((move) => move.id === action.moveid).length > 1;
		return twice || /^\d+$/.test(action.moveid) ? choice.replace(/^move \S+/, `move ${action.moveSlot + 1}`) : choice;
	};
}

function forget(id) {
	const running = battles.get(id);
	if (!running) return;
	battles.delete(id);
	running.battle.destroy();
}

/* Choices that the request allows; the simulator may still refuse some. */
function candidateChoices(request) {
	if (!request || request.wait) return [];
	const team = request.side.pokemon;
	if (request.teamPreview) {
		const order = team.map((_, i) => i + 1);
		return order.map((lead) => `team ${[lead, ...order.filter((slot) => slot !== lead)].join(', ')}`);
	}
	const reviving = team.some((pokemon) => pokemon.reviving);
	const switches = team.flatMap((pokemon, i) => {
		const fainted = pokemon.condition.endsWith(' fnt');
		return !pokemon.active && fainted === reviving ? [`switch ${i + 1}`] : [];
	});
	if (request.forceSwitch) return switches;
	const [active] = request.active;
	const moves = active.moves.flatMap((move, i) => (move.disabled ? [] : [`move ${i + 1}`]));
	return active.trapped ? moves : [...moves, ...switches];
}

const validators = new Map();

function validatorFor(formatid) {
	if (!validators.has(formatid)) validators.set(formatid, new TeamValidator(formatid));
	return validators.get(formatid);
}

function describe(format) {
	return {
		id: format.id,
		name: format.name,
		gen: Dex.forFormat(format).gen,
		game_type: format.gameType,
		random_teams: !!format.team,
		team_preview: Dex.formats.getRuleTable(format).has('teampreview'),
	};
}

/*
 * A line of an input log in a form that the simulator accepts.
 *
 * The simulator logs the action that a choice led to, such as "fight" for any move of a partially trapped Pokémon in gen 1,
 * or a move that continues. It refuses such a line if the request does not list that move; the choice is then "default".
 * Of two moves with one name it would take the first, which may be disabled.
 */
function replayable(line, battle) {
	const [, side, id] = /^>(p[12]) move ([a-z]\w*)/.exec(line) || [];
	const moves = (side && battle?.getSide(side).activeRequest?.active?.[0].moves) || [];
	if (!moves.length) return line;
	const slots = moves.flatMap((move, i) => (move.id === id ? [i] : []));
	if (!slots.length) return `>${side} default`;
	const enabled = slots.find((i) => !moves[i].disabled);
	return enabled > slots[0] ? line.replace(` ${id}`, ` ${enabled + 1}`) : line;
}

const answers = {
	version() {
		return { simulator: require(path.join(root, 'package.json')).version, node: process.versions.node };
	},

	format(name) {
		const format = Dex.formats.get(name);
		return format.exists && format.effectType === 'Format' ? describe(format) : null;
	},

	/* The format's moves and Pokémon that its generation lacks: entries of the data files. */
	additions(formatid) {
		const dex = Dex.forFormat(Dex.formats.get(formatid));
		const base = Dex.mod(`gen${dex.gen}`);
		const beyond = (table) =>
			Object.fromEntries(Object.entries(dex.data[table]).filter(([id]) => !(id in base.data[table])));
		return { moves: beyond('Moves'), species: beyond('Pokedex') };
	},

	formats() {
		return Dex.formats.all().filter((format) => format.effectType === 'Format').map(describe);
	},

	/* Reads and validates an exported or packed team: {packed, species, problems}. */
	team(formatid, text) {
		const team = Teams.import(text.trim());
		if (!team || !team.length) return { packed: '', species: [], problems: ['this is not a Showdown team'] };
		const validator = validatorFor(formatid);
		// In gens 1 and 2, a team without EVs has the maximum; the importer would set 0.
		if (validator.ruleTable.evLimit === null) {
			for (const set of team) if (!Object.values(set.evs || {}).some(Boolean)) delete set.evs;
		}
		const problems = validator.validateTeam(team) || [];
		return { packed: Teams.pack(team), species: team.map((set) => set.species || set.name), problems };
	},

	/*
	 * Plays an input log again, with these names, as both players saw it. One element for the start and for each choice or
	 * forced end: [p1 lines, p2 lines, [p1 choice, p2 choice], p1 request, p2 request, side that gave up | null].
	 */
	reconstruct(inputLog, ...names) {
		const lines = inputLog.split('\n');
		const data = (start) => JSON.parse(lines.find((line) => line.startsWith(start)).slice(start.length));
		const { formatid, seed } = data('>start ');
		const [p1, p2] = names.map((name, i) => ({ ...data(`>player p${i + 1} `), name }));
		const running = new RunningBattle(0, formatid, seed, p1, p2);
		const updates = [];
		const update = (loser = null) => {
			const { lines, chosen, requests } = running.takeUpdate();
			updates.push([...lines, chosen, JSON.parse(requests.p1), JSON.parse(requests.p2), loser]);
		};
		update();
		for (const line of lines) {
			const [, side, choice] = /^>(p[12]) (.+)/.exec(replayable(line, running.battle)) || [];
			const [, forced, loser] = /^>force(lose|tie) ?(p[12])?/.exec(line) || [];
			if (side) running.battle.choose(side, choice);
			else if (forced === 'lose') running.battle.lose(loser);
			else if (forced === 'tie') running.battle.tie();
			else continue;
			update(loser);
		}
		running.battle.destroy();
		return updates;
	},

	/* Plays an input log again: {ended, winner, turns, log}, with the log that a spectator sees. */
	replay(inputLog) {
		const stream = new BattleStream({ noCatch: true, keepAlive: true });
		stream.pushMessage = () => {};
		for (const line of inputLog.split('\n')) stream._writeLines(replayable(line, stream.battle));
		const { battle } = stream;
		if (!battle) throw new Error('the input log starts no battle');
		const log = extractChannelMessages(battle.log.join('\n'), [0])[0].join('\n');
		const result = { ended: battle.ended, winner: winnerSide(battle), turns: battle.turn, log };
		battle.destroy();
		return result;
	},
};

function inBattle(id, act) {
	const running = battles.get(id);
	// A choice may arrive after its battle has ended.
	if (!running) return;
	try {
		act(running);
		running.flush();
	} catch (error) {
		battles.delete(id);
		send(['crash', id, error.stack]);
	}
}

const commands = {
	start(id, format, seed, p1, p2) {
		try {
			const running = new RunningBattle(id, format, seed, p1, p2);
			battles.set(id, running);
			running.flush();
		} catch (error) {
			battles.delete(id);
			send(['crash', id, error.stack]);
		}
	},
	choose: (id, side, choice) => inBattle(id, (running) => running.battle.choose(side, choice)),
	random: (id, side, seed) => inBattle(id, (running) => running.chooseRandomly(side, seed)),
	lose: (id, side) => inBattle(id, (running) => running.lose(side)),
	drop: (id) => forget(id),
	ask(number, question, ...args) {
		try {
			send(['answer', number, answers[question](...args)]);
		} catch (error) {
			send(['refusal', number, error.message]);
		}
	},
};

let pending = '';
process.stdin.setEncoding('utf8');
process.stdin.on('data', (chunk) => {
	const lines = (pending + chunk).split('\n');
	pending = lines.pop();
	for (const line of lines) {
		const [command, ...args] = JSON.parse(line);
		commands[command](...args);
	}
	if (output.length) {
		process.stdout.write(output.join('\n') + '\n');
		output = [];
	}
});
process.stdin.on('end', () => process.exit(0));
process.stdout.on('error', () => process.exit(1));
