'use strict';
/*
 * Two optimisations that make the simulator about twice as fast and change no battle. `replay` plays without them, so each
 * replay of a battle checks them.
 *
 * 1. Events without handlers. For each event, Showdown searches every effect in play - statuses, volatiles, abilities,
 * items, species, side and slot conditions, weather, terrain, rules, the format - for handlers, under five names each. Most
 * events have none. Here the names of each effect's handlers are collected once, and an event without any possible handler
 * returns an empty list at once. Showdown itself searches for the others.
 */
const PREFIXES = ['', 'Ally', 'Any', 'Foe', 'Source'];
const knownEvents = new WeakMap();
const remembered = Symbol('events of a Pokémon');

/* The events for which an effect may have handlers: all of them, and possibly more. */
function eventsOf(effect) {
	let events = knownEvents.get(effect);
	if (events) return events;
	events = new Set();
	for (const key in effect) {
		if (!key.startsWith('on')) continue;
		for (const prefix of PREFIXES) {
			if (key.startsWith(prefix, 2)) events.add(key.slice(2 + prefix.length));
		}
		// A switch starts an ability or item without onSwitchIn.
		if (key.endsWith('Start')) events.add('SwitchIn');
	}
	knownEvents.set(effect, events);
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
 * 2. Copies of moves. Each use of a move takes a deep copy of its entry in the dex. V8 is slow at adding keys one by one; a
 * constructor with the keys written out makes the same copy faster. Moves with the same keys share a constructor.
 */
const constructors = new Map();

function constructorOf(move) {
	const keys = Object.keys(move);
	const signature = keys.join();
	if (!constructors.has(signature)) {
		const plain = keys.every((key) => /^[a-zA-Z_]\w*$/.test(key));
		const body = keys.map((key) => `this.${key} = copy(move.${key});`).join('\n');
		const ActiveMove = plain ? new Function('move', 'copy', body) : null;
		if (ActiveMove) ActiveMove.prototype = Object.getPrototypeOf(move);
		constructors.set(signature, ActiveMove);
	}
	return constructors.get(signature);
}

const constructorsOfMoves = new WeakMap();

function installCopies(dexPrototype) {
	const { getActiveMove } = dexPrototype;
	dexPrototype.getActiveMove = function (move) {
		if (move && typeof move.hit === 'number') return move;
		const entry = this.moves.get(move);
		let ActiveMove = constructorsOfMoves.get(entry);
		if (ActiveMove === undefined) {
			ActiveMove = Object.isFrozen(entry) ? constructorOf(entry) : null;
			constructorsOfMoves.set(entry, ActiveMove);
		}
		if (!ActiveMove) return getActiveMove.call(this, move);
		const copy = new ActiveMove(entry, this.deepClone);
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
