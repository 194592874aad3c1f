'use strict';
/*
 * Showdown's own server, connected to the process that started it.
 *
 * The server's config.js exports the result of `configure`. Its main process then reports events and takes commands on an
 * inherited socket, one JSON array in each line:
 *
 *   out  ["ready", port] or ["failed", code]
 *        ["beat"]                          once a second
 *        ["online", user id], ["refused", user id, reason]
 *        ["ready", user id]                the user has challenged its opponent, or waits on the ladder
 *        ["begin", room, game, user id]    an arranged battle has begun; the user is p1
 *        ["end", room, record]             the battle is over; see `recordOf`
 *   in   ["arrange", user id, user id, game...]
 *        ["void", room]                    end a battle without a result
 *        ["dismiss", user id...]           void the battles of these users, drop their arrangements, and log them out
 *
 * A game is {number, p1, p2 (user ids), seed, teams: [packed, packed] | team_seeds: [seed, seed]}. Two users meet, on the
 * ladder or by a challenge, only if an arrangement has their game; its games are played in their order. Sides, teams
 * and seed are always the game's. Without the setting `arranged`, any two users may meet.
 *
 * The process ends when the socket is closed, so it cannot outlive the process that started it.
 */
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');

// How long a room stays after its battle, so that clients receive the result. Showdown would keep it for longer.
const ROOM_SECONDS = 20;

function configure(settings) {
	return {
		port: settings.port,
		bindaddress: '127.0.0.1',
		// `listen` starts the sockets, so that it can report a port that is taken.
		lazysockets: true,
		startuphook: () => start(settings),
		repl: false,
		reportbattles: false,
		watchconfig: false,
		logchallenges: settings.log_battles,
		// Each process loads all of Showdown's data: only simulators get their own.
		subprocesses: {
			network: 0, simulator: settings.processes, validator: 0, verifier: 0, localartemis: 0, remoteartemis: 0,
			friends: 0, chatdb: 0, modlog: 0, pm: 0, battlesearch: 0, datasearch: 0,
		},
	};
}

function start(settings) {
	const channel = new net.Socket({ fd: settings.channel });
	const send = (...message) => channel.write(`${JSON.stringify(message)}\n`);
	channel.on('error', () => {});
	channel.on('close', () => {
		if (settings.temporary) fs.rmSync(settings.root, { recursive: true, force: true });
		process.exit(0);
	});
	const arrangements = settings.arranged ? new Arrangements(settings, send) : null;
	receive(channel, arrangements);
	listen(send);
	setInterval(() => {
		send('beat');
		arrangements?.watch();
	}, 1000);
	// After a crashed battle Showdown would refuse new ones.
	Rooms.global.startLockdown = () => {};
}

function listen(send) {
	const { onSpawn } = Sockets;
	Sockets.onSpawn = function (worker) {
		const { server } = worker.stream;
		server.on('listening', () => send('ready', server.address().port));
		server.on('error', (error) => send('failed', error.code));
		return onSpawn.call(this, worker);
	};
	Sockets.start({ network: 0 });
}

function receive(channel, arrangements) {
	let pending = '';
	channel.setEncoding('utf8');
	channel.on('data', (chunk) => {
		const lines = (pending + chunk).split('\n');
		pending = lines.pop();
		for (const line of lines) {
			const [command, ...args] = JSON.parse(line);
			arrangements[command](...args);
		}
	});
}

class Arrangements {
	constructor(settings, send) {
		this.settings = settings;
		this.send = send;
		this.partners = new Map();
		this.games = new Map();
		this.battles = new Map();
		const { RoomBattle, PM } = require(path.join(settings.root, 'dist', 'server', 'room-battle'));
		this.watchUsers(Users.User.prototype);
		this.pair(Ladders.Ladder.prototype);
		this.assignGames();
		this.hookBattles(RoomBattle.prototype);
		this.onSimulatorDeath(PM);
	}

	arrange(first, second, ...games) {
		this.partners.set(first, second);
		this.partners.set(second, first);
		this.games.set(first, games);
		this.games.set(second, games);
	}

	dismiss(...userids) {
		for (const [roomid, record] of this.battles) {
			if (record.battle.players.some((player) => userids.includes(player.id))) this.void(roomid);
		}
		for (const userid of userids) {
			this.partners.delete(userid);
			this.games.delete(userid);
			Users.getExact(userid)?.disconnectAll();
		}
	}

	watchUsers(User) {
		const arrangements = this;
		const { rename } = User;
		User.rename = async function (name, token, newlyRegistered, connection) {
			const userid = toID(name);
			let reason = '';
			const { send } = this;
			this.send = function (message) {
				if (message.startsWith('|nametaken|')) reason = message.split('|').slice(3).join('|');
				return send.call(this, message);
			};
			let renamed;
			try {
				renamed = await rename.call(this, name, token, newlyRegistered, connection);
			} finally {
				delete this.send;
			}
			// The connection may now belong to an earlier user of that name.
			const user = connection?.user || this;
			if (user.connected && user.id === userid) arrangements.send('online', userid);
			else arrangements.send('refused', userid, reason);
			return renamed;
		};
	}

	pair(Ladder) {
		const arrangements = this;
		const { makeChallenge, addSearch } = Ladder;
		Ladder.matchmakingOK = (matches) => {
			const [first, second] = matches.map(([, user]) => user.id);
			return arrangements.partners.get(first) === second;
		};
		Ladder.makeChallenge = function (connection, targetUser) {
			if (arrangements.partners.get(connection.user.id) !== targetUser.id) {
				connection.popup(`No battle with ${targetUser.name} is arranged.`);
				return false;
			}
			arrangements.send('ready', connection.user.id);
			return makeChallenge.call(this, connection, targetUser);
		};
		Ladder.addSearch = function (search, user) {
			arrangements.send('ready', user.id);
			return addSearch.call(this, search, user);
		};
	}

	/* Assigns the next game of its two users to each battle. */
	assignGames() {
		const arrangements = this;
		const { createBattle } = Rooms;
		Rooms.createBattle = function (options) {
			const users = options.players.map((player) => player.user);
			const games = arrangements.games.get(users[0]?.id);
			const game = games?.[0];
			if (!game || arrangements.partners.get(users[0].id) !== users[1]?.id) {
				for (const user of users) user.popup('No battle of these two users is arranged.');
				return null;
			}
			if (users[0].id !== game.p1) options.players.reverse();
			options.seed = game.seed;
			options.game = game;
			game.teams?.forEach((team, i) => { options.players[i].team = team; });
			games.shift();
			const room = createBattle.call(this, options);
			if (!room) {
				games.unshift(game);
				return room;
			}
			arrangements.send('begin', room.roomid, game.number, game.p1);
			return room;
		};
	}

	hookBattles(RoomBattle) {
		const arrangements = this;
		const { addPlayer, receive, end, setEnded } = RoomBattle;
		RoomBattle.addPlayer = function (user, options) {
			const { game } = this.options;
			if (!game) return addPlayer.call(this, user, options);
			if (!arrangements.battles.has(this.roomid)) arrangements.battles.set(this.roomid, new BattleRecord(this));
			const seed = game.team_seeds?.[this.players.length];
			if (!seed) return addPlayer.call(this, user, options);
			const { stream } = this;
			const { write } = stream;
			stream.write = (text) => write.call(stream, text.replace(/^(>player p\d )(\{.*)\}$/, `$1$2,"seed":"${seed}"}`));
			try {
				return addPlayer.call(this, user, options);
			} finally {
				delete stream.write;
			}
		};
		RoomBattle.receive = function (lines) {
			receive.call(this, lines);
			if (lines[0] !== 'sideupdate') return;
			arrangements.battles.get(this.roomid)?.note(lines[1], lines[2], arrangements.settings.max_invalid);
		};
		RoomBattle.end = function (winner) {
			const record = arrangements.battles.get(this.roomid);
			if (record) record.data = this.logData;
			end.call(this, winner);
		};
		RoomBattle.setEnded = function () {
			setEnded.call(this);
			const record = arrangements.battles.get(this.roomid);
			if (!record) return;
			arrangements.battles.delete(this.roomid);
			const { roomid } = this;
			// The log's last lines are added after this call.
			setImmediate(() => arrangements.send('end', roomid, recordOf(record)));
			setTimeout(() => Rooms.get(roomid)?.destroy(), ROOM_SECONDS * 1000);
		};
	}

	void(roomid) {
		const record = this.battles.get(roomid);
		if (!record) return;
		record.reason = 'void';
		record.battle.tie();
	}

	/* Voids all battles: those of the dead simulator would never end, and Showdown does not tell which they are. */
	onSimulatorDeath(processes) {
		const { releaseCrashed } = processes;
		processes.releaseCrashed = (process) => {
			releaseCrashed.call(processes, process);
			for (const { battle } of [...this.battles.values()]) if (!battle.ended) battle.setEnded();
		};
	}

	/*
	 * A side that takes longer than `turn_timeout` loses. Time does not count while a player's earlier battle goes on, since
	 * clients may start a battle before they finish another one.
	 */
	watch() {
		const now = Date.now();
		const busy = new Set();
		for (const [roomid, record] of this.battles) {
			const waits = record.battle.players.some((player) => busy.has(player.id));
			for (const player of record.battle.players) busy.add(player.id);
			if (waits) {
				record.asked = { p1: now, p2: now };
				continue;
			}
			const late = record.battle.players.filter((player) => {
				const waiting = player.request.isWait === false && player.request.request;
				return waiting && now - record.asked[player.slot] > this.settings.turn_timeout * 1000;
			});
			if (late.length > 1) {
				this.void(roomid);
			} else if (late.length) {
				const [player] = late;
				record.reason = player.active ? 'timeout' : 'disconnect';
				record.battle.forfeitPlayer(player, ' lost due to inactivity.');
			}
		}
	}
}

/* Facts about a battle that Showdown does not keep. */
class BattleRecord {
	constructor(battle) {
		this.battle = battle;
		// A closed room has no players.
		this.room = battle.room;
		this.started = Date.now();
		this.reason = null;
		this.data = null;
		this.asked = { p1: this.started, p2: this.started };
		this.decisions = { p1: 0, p2: 0 };
		this.invalid = { p1: [], p2: [] };
	}

	note(slot, line, maxInvalid) {
		if (line.startsWith('|request|')) {
			const request = JSON.parse(line.slice('|request|'.length));
			this.asked[slot] = Date.now();
			if (!request.wait && !request.teamPreview && !request.update) this.decisions[slot]++;
		} else if (line.startsWith('|error|[Invalid choice]') && !line.includes("Can't do anything")) {
			const step = this.decisions[slot] - 1;
			if (step >= 0 && this.invalid[slot].at(-1) !== step) this.invalid[slot].push(step);
			if (this.invalid[slot].length >= maxInvalid && !this.reason) {
				this.reason = 'invalid';
				this.battle.forfeitPlayer(this.battle[slot], ' forfeited: too many invalid choices.');
			}
		}
	}
}

function recordOf(record) {
	const { data, battle } = record;
	const log = record.room.getLog(0);
	const times = { started: record.started, finished: Date.now() };
	if (!data || record.reason === 'void') return { end_reason: 'void', log, ...times };
	return {
		winner: data.winner ? (toID(data.winner) === toID(data.p1) ? 'p1' : 'p2') : null,
		users: [toID(data.p1), toID(data.p2)],
		turns: data.turns,
		end_reason: record.reason || battle.endType,
		left: data.score,
		teams: [data.p1team, data.p2team].map((team) => Teams.pack(team)),
		invalid: [record.invalid.p1, record.invalid.p2],
		input_log: data.inputLog.join('\n'),
		log,
		arranged: true,
		...times,
	};
}

module.exports = { configure };
