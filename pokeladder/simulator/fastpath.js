'use strict';
/*
 * Two faster ways to do what the simulator does, which make it about twice as fast and change no battle. `replay` plays
 * without them, so each replay of a battle checks them.
 *
 * The first is for looking up what does not exist. Before anything happens in a battle, Showdown asks every effect in
 * play - statuses, volatiles, abilities, items, species, side and slot conditions, weather, terrain, rules, the format -
 * for handlers of that event, under five names each. Most events have none. Here the names of each effect's handlers are
 * collected once, and events that no effect in play has a handler for are answered with the empty list that the search
 * would have ended with. An event with any possible handler is searched for by Showdown itself.
 */
const PREFIXES = ['', 'Ally', 'Any', 'Foe', 'Source'];
const seen = new WeakMap();
const remembered = Symbol('events of a Pokémon');

/* The events that an effect may have handlers for: rather one too many than one too few. */
function eventsOf(effect) {
	let events = seen.get(effect);
	if (events) return events;
	events = new Set();
	for (const key in effect) {
		if (!key.startsWith('on')) continue;
		for (const prefix of PREFIXES) {
			if (key.startsWith(prefix, 2)) events.add(key.slice(2 + prefix.length));
		}
		// An ability or item without onSwitchIn is started by a switch.
		if (key.endsWith('Start')) events.add('SwitchIn');
	}
	seen.set(effect, events);
	return events;
}

function standingEvents(pokemon) {
	const known = pokemon[remembered];
	if (
		known &&
		known.status === pokemon.status &&
		known.ability === pokemon.ability &&
		known.item === pokemon.item &&
		known.species === pokemon.baseSpecies
	) {
		return known.events;
	}
	const events = new Set();
	for (const effect of [pokemon.getStatus(), pokemon.getAbility(), pokemon.getItem(), pokemon.baseSpecies]) {
		for (const event of eventsOf(effect)) events.add(event);
	}
	const { status, ability, item, baseSpecies: species } = pokemon;
	pokemon[remembered] = { status, ability, item, species, events };
	return events;
}

function anyHandles(battle, conditions, event) {
	for (const id in conditions) {
		if (eventsOf(battle.dex.conditions.getByID(id)).has(event)) return true;
	}
	return false;
}

function pokemonHandles(battle, pokemon, event) {
	return (
		standingEvents(pokemon).has(event) ||
		anyHandles(battle, pokemon.volatiles, event) ||
		anyHandles(battle, pokemon.side.slotConditions[pokemon.position], event)
	);
}

function mayBeHandled(battle, target, event, source) {
	if (!battle.started || battle.events || eventsOf(battle.format).has(event)) return true;
	const { field } = battle;
	if (
		anyHandles(battle, field.pseudoWeather, event) ||
		(field.weather && eventsOf(field.getWeather()).has(event)) ||
		(field.terrain && eventsOf(field.getTerrain()).has(event))
	) {
		return true;
	}
	for (const side of battle.sides) {
		if (anyHandles(battle, side.sideConditions, event)) return true;
		for (const active of side.active) {
			if (active && pokemonHandles(battle, active, event)) return true;
		}
	}
	return [target, source].some((one) => one?.volatiles && !one.isActive && pokemonHandles(battle, one, event));
}

/*
 * The second: every move that is made is made on a deep copy of its entry in the dex. Copying key by key into an object
 * without a shape takes V8 long; a constructor with the keys written out does the same at once. Moves with the same keys
 * share it.
 */
const makers = new Map();

function makerOf(move) {
	const keys = Object.keys(move);
	const signature = keys.join();
	if (!makers.has(signature)) {
		const plain = keys.every((key) => /^[a-zA-Z_]\w*$/.test(key));
		const body = keys.map((key) => `this.${key} = copy(move.${key});`).join('\n');
		const Maker = plain ? new Function('move', 'copy', body) : null;
		if (Maker) Maker.prototype = Object.getPrototypeOf(move);
		makers.set(signature, Maker);
	}
	return makers.get(signature);
}

const makersOfMoves = new WeakMap();

function installCopies(dexPrototype) {
	const { getActiveMove } = dexPrototype;
	dexPrototype.getActiveMove = function (move) {
		if (move && typeof move.hit === 'number') return move;
		const entry = this.moves.get(move);
		let Maker = makersOfMoves.get(entry);
		if (Maker === undefined) {
			Maker = Object.isFrozen(entry) ? makerOf(entry) : null;
			makersOfMoves.set(entry, Maker);
		}
		if (!Maker) return getActiveMove.call(this, move);
		const copy = new Maker(entry, this.deepClone);
		copy.hit = 0;
		return copy;
	};
}

exports.install = ({ Battle, Dex }) => {
	const search = Battle.prototype.findEventHandlers;
	Battle.prototype.findEventHandlers = function (target, event, source) {
		if (Array.isArray(target) || mayBeHandled(this, target, event, source)) return search.call(this, target, event, source);
		return [];
	};
	installCopies(Object.getPrototypeOf(Dex));
};
