"""The state of one side of a battle at its decisions, and its legal actions, as metamon numbers them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache
from itertools import islice
from operator import itemgetter
from typing import Any, TypeVar

import poke_env.battle as poke_env
from poke_env.battle import Battle, Effect, PokemonType, Status
from poke_env.data import GenData

from pokeladder.trajectories.states import NO_MOVE, Move, Pokemon, State, encode

FAINTED = Status.FNT
NO_ACTION = -1
SWITCH_ACTION = 4
TERA_ACTION = 9
# The only choice when a Pokémon must recharge, has no PP left, or (gen 1) cannot choose; all move indices mean it.
FORCED_MOVES = frozenset({"recharge", "struggle", "fight"})
# Sources of moves that do not count as the Pokémon's own.
REFLECTED = ("Magic Bounce", "Magic Coat", "Dancer")
PARTY = 6
# In the order of the fields of Pokemon.
BOOSTS = itemgetter("atk", "spa", "def", "spd", "spe", "accuracy", "evasion")
STATS = itemgetter("atk", "spa", "def", "spd", "spe", "hp")
NOTHING_KNOWN: Mapping[str, tuple[int, int]] = {}
Condition = TypeVar("Condition", bound=Enum)
# The values of a request about a Pokémon on the bench that can change: ident, condition, item, details.
Benched = tuple[str, str, str, str]


class Observation:
    """Tracks the state and the legal actions of one side of one battle.

    Args:
        battle: poke-env's view of the side, which the caller updates.

    Attributes:
        present: state of the running decision; None between decisions.
    """

    def __init__(self, battle: Battle, format_id: str) -> None:
        self.battle = battle
        self.present: State | None = None
        self._format = format_id
        # Of the running decision: its request, the request's Pokémon, and its bench.
        self._request: dict[str, Any] = {}
        self._entries: list[dict[str, Any]] = []
        self._bench: list[Benched] = []
        self._switches: Sequence[Pokemon] = ()
        self._benched: dict[str, tuple[Benched, Pokemon]] = {}
        self._last_moves: dict[poke_env.Pokemon, poke_env.Move | None] = {}
        # PP of this side's moves according to the last request, by Pokémon and move.
        self._pp: dict[str, dict[str, tuple[int, int]]] = {}
        # Names of effects that poke-env does not know.
        self._unnamed: dict[poke_env.Pokemon, str] = {}
        self._preview: Sequence[str] | None = None

    def moved(self, line: str) -> None:
        """Reads a ``|move|`` line, after poke-env has."""
        message = line.split("|")
        if len(message) > 5 and any(mark in part for part in message[5:] for mark in REFLECTED):
            return
        own = message[2][:2] == self.battle.player_role
        pokemon = self.battle.active_pokemon if own else self.battle.opponent_active_pokemon
        if pokemon is not None:
            move = _stored_move(message[3], pokemon.gen)
            self._last_moves[pokemon] = (pokemon.moves.get(move) or poke_env.Move(move, pokemon.gen)) if move else None

    def began(self, line: str) -> None:
        """Reads a ``|-start|`` line, after poke-env has."""
        _, _, who, what, *_ = line.split("|")
        effect = _letters(what.rpartition(":")[2])
        if effect not in EFFECTS:
            self._unnamed[self.battle.get_pokemon(who)] = effect

    def begin(self, request: dict[str, Any]) -> None:
        """Begins a decision: sets ``present`` from the request and the lines before it."""
        self._request = request
        entries = self._entries = request["side"]["pokemon"]
        active = entries[0]
        if not active["active"]:
            raise ValueError("no Pokémon of this side is active")
        reviving = bool(self.battle.reviving)
        bench = [
            (entry["ident"], entry["condition"], entry["item"], entry["details"])
            for entry in entries[1:]
            if entry["condition"].endswith(" fnt") is reviving
        ]
        ident = active["ident"]
        self._benched.pop(ident, None)
        if bench != self._bench:
            self._bench = bench
            self._switches = self._view_of(bench)
        if "active" in request:
            known = self._pp.setdefault(ident, {})
            for move in request["active"][0]["moves"]:
                if "pp" in move:
                    # In gen 1 PP can underflow, and a mimicked move keeps the PP of Mimic. Formats with special rules
                    # have fractions.
                    most = int(move["maxpp"])
                    known[move["id"]] = max(0, min(int(move["pp"]), most)), most
        pokemon = self.battle.team[ident]
        self.present = self._state(pokemon, self._own_pokemon(pokemon, active), self._switches)

    def end(self) -> None:
        """Ends the decision."""
        self.present = None

    def state(self) -> bytes:
        """The state of the running decision as JSON."""
        if self.present is None:
            raise ValueError("no decision is running")
        return encode(self.present)

    def options(self) -> dict[int, str]:
        """The choices of the running decision in the notation of clients, by metamon's indices of legal actions."""
        idents = self._ranked_bench()
        places = {entry["ident"]: place for place, entry in enumerate(self._entries, start=1)}
        switches = {SWITCH_ACTION + rank: f"switch {places[ident]}" for rank, ident in enumerate(idents)}
        if self._request.get("forceSwitch"):
            return switches
        active = self._request["active"][0]
        moves = {move["id"]: f"move {place}" for place, move in enumerate(active["moves"], start=1)
                 if not move.get("disabled")}  # fmt: skip
        known = self._entries[0]["moves"][:4]
        numbers = {move: _move_number(move, *known) for move in moves}
        forced = next((choice for move, choice in moves.items() if move in FORCED_MOVES), None)
        if forced is None and len(active["moves"]) == 1 and None in numbers.values():
            # A called move continues.
            forced = next(iter(moves.values()), None)
        if forced is not None:
            options = dict.fromkeys(range(len(known)), forced)
            # metamon takes any index for this move.
            if "recharge" in moves:
                return options | dict.fromkeys(switches, forced)
        else:
            options = {number: moves[move] for move, number in numbers.items() if number is not None}
            if active.get("canTerastallize"):
                options |= {TERA_ACTION + number: f"{choice} terastallize" for number, choice in options.items()}
        return options if active.get("trapped") else options | switches

    def action(self, choice: str) -> int:
        """metamon's index of a choice that the simulator carried out, in its notation."""
        kind, what, *extras = choice.split(" ")
        if kind == "switch":
            return SWITCH_ACTION + self._ranked_bench().index(self._entries[int(what) - 1]["ident"])
        if what.isdigit():
            # A position, written where the name is ambiguous.
            what = self._request["active"][0]["moves"][int(what) - 1]["id"]
        if what in FORCED_MOVES:
            return 0
        number = _move_number(what, *self._entries[0]["moves"][:4])
        if number is None:
            # A called move continues: it was the only choice. A Pokémon with more than four moves may use one that the
            # state does not contain.
            offered = [move["id"] for move in self._request["active"][0]["moves"]]
            return NO_ACTION if len(offered) > 1 and what in offered else 0
        return number + (TERA_ACTION if "terastallize" in extras else 0)

    def final(self) -> State:
        """The state at the end of the battle."""
        active = self.battle.active_pokemon
        if active is None:
            raise ValueError("no Pokémon of this side is active")
        team = self.battle.team.values()
        bench = [
            self._seen_pokemon(pokemon, own=True) for pokemon in team if not pokemon.fainted and not pokemon.active
        ]
        return self._state(active, self._seen_pokemon(active, own=True), bench)

    def _ranked_bench(self) -> list[str]:
        """The Pokémon that can be switched to, in metamon's order."""
        team = self.battle.team
        return sorted((ident for ident, *_ in self._bench), key=lambda ident: _letters_and_digits(team[ident].species))

    def _state(self, active: poke_env.Pokemon, own: Pokemon, switches: Sequence[Pokemon]) -> State:
        battle = self.battle
        opponent = battle.opponent_active_pokemon
        if opponent is None:
            raise ValueError("no Pokémon of the opponent is active")
        fainted = [pokemon for pokemon in battle.opponent_team.values() if pokemon.status is FAINTED]
        own_conditions, conditions = battle.side_conditions, battle.opponent_side_conditions
        return State(
            self._format,
            own,
            self._seen_pokemon(opponent, own=False),
            switches,
            self._last_move(active, own=True),
            self._last_move(opponent, own=False),
            max(PARTY - len(fainted), 0),
            _latest(own_conditions) if own_conditions else "noconditions",
            _latest(conditions) if conditions else "noconditions",
            _letters(next(iter(battle.weather)).name) if battle.weather else "noweather",
            _latest(battle.fields) if battle.fields else "nofield",
            battle.force_switch,
            battle.won is True,
            battle.won is False,
            battle.can_tera,
            self._opponent_preview(),
        )

    def _opponent_preview(self) -> Sequence[str]:
        if self._preview is None:
            preview = self.battle.teampreview_opponent_team
            self._preview = [_base_species(pokemon.species, pokemon.gen) for pokemon in preview]
        return self._preview

    def _view_of(self, bench: Sequence[Benched]) -> Sequence[Pokemon]:
        """The Pokémon on the bench, made anew only if their request has changed."""
        now = {benched[0]: benched for benched in bench}
        entries = {entry["ident"]: entry for entry in self._entries}
        for ident, pokemon in self.battle.team.items():
            if ident in now and (ident not in self._benched or self._benched[ident][0] != now[ident]):
                self._benched[ident] = now[ident], self._own_pokemon(pokemon, entries[ident])
        return [self._benched[ident][1] for ident in self.battle.team if ident in now]

    def _own_pokemon(self, pokemon: poke_env.Pokemon, entry: dict[str, Any]) -> Pokemon:
        """A Pokémon of this side from the request, which is more accurate than poke-env."""
        hp, status = _condition(entry["condition"])
        known = self._pp.get(entry["ident"], NOTHING_KNOWN)
        moves = [
            _move(name, pokemon.gen, *known.get(_poke_env_move(name, pokemon.gen).id, (None, None)))
            for name in entry["moves"][:4]
        ]
        tera = entry.get("teraType")
        return self._pokemon(
            pokemon,
            hp,
            status,
            _letters(entry["item"]) or "noitem",
            _letters(entry.get("ability") or entry["baseAbility"]) or "noability",
            moves,
            tera.lower() if tera else "notype",
        )

    def _seen_pokemon(self, pokemon: poke_env.Pokemon, *, own: bool) -> Pokemon:
        """A Pokémon from poke-env: for opponents, and for both sides at the end of the battle."""
        status, tera = pokemon.status, pokemon.tera_type
        known = self._known_pp(pokemon) if own else NOTHING_KNOWN
        return self._pokemon(
            pokemon,
            float(pokemon.current_hp_fraction),
            _letters(status.name) if status else "nostatus",
            "noitem" if pokemon.item is None else _letters(pokemon.item) or "noitem",
            "noability" if pokemon.gen < 3 else _letters(pokemon.ability or "unknownability"),
            [_seen_move(move, known) for move in islice(pokemon.moves.values(), 4)],
            _letters(tera.name) if tera else "notype",
        )

    def _pokemon(
        self,
        pokemon: poke_env.Pokemon,
        hp: float,
        status: str,
        item: str,
        ability: str,
        moves: Sequence[Move],
        tera_type: str,
    ) -> Pokemon:
        name, base_species, types = _looks(pokemon.species, pokemon.gen, pokemon.type_1, pokemon.type_2)
        effect = self._effect(pokemon) if pokemon.effects else "noeffect"
        numbers = (*BOOSTS(pokemon.boosts), *STATS(pokemon.base_stats))
        looks = (name, hp, types, item, ability, pokemon.level, status, effect, moves)
        values: tuple[Any, ...] = (*looks, *numbers, tera_type, base_species)
        return Pokemon(*values)

    def _effect(self, pokemon: poke_env.Pokemon) -> str:
        latest = min(pokemon.effects, key=pokemon.effects.__getitem__)
        return self._unnamed.get(pokemon, "unknown") if latest is Effect.UNKNOWN else _letters(latest.name)

    def _last_move(self, pokemon: poke_env.Pokemon, *, own: bool) -> Move:
        move = self._last_moves.get(pokemon)
        return NO_MOVE if move is None else _seen_move(move, self._known_pp(pokemon) if own else NOTHING_KNOWN)

    def _known_pp(self, pokemon: poke_env.Pokemon) -> Mapping[str, tuple[int, int]]:
        return self._pp.get(f"{self.battle.player_role}: {pokemon.name}", NOTHING_KNOWN)


def _seen_move(move: poke_env.Move, known: Mapping[str, tuple[int, int]]) -> Move:
    pp = known.get(move.id)
    return _move(move.id, move.gen, *(pp if pp is not None else (move.current_pp, None)))


@lru_cache(8192)
def _stored_move(name: str, gen: int) -> str | None:
    """The id of a move, or None if it does not count as used."""
    move = poke_env.Move.retrieve_id(name)
    return move if poke_env.Move.should_be_stored(move, gen) else None


@lru_cache(8192)
def _condition(text: str) -> tuple[float, str]:
    """HP and status from the condition in a request, such as ``120/353 par`` or ``0 fnt``."""
    health, _, status = text.partition(" ")
    left, _, most = health.partition("/")
    return int(left) / int(most) if most else 0.0, status or "nostatus"


@lru_cache(8192)
def _poke_env_move(raw: str, gen: int) -> poke_env.Move:
    return poke_env.Move(poke_env.Move.retrieve_id(raw), gen, raw_id=raw)


@lru_cache(8192)
def _move(raw: str, gen: int, current: int | None, most: int | None) -> Move:
    """A move with its present and largest PP; None for the move's own number."""
    move = _poke_env_move(raw, gen)
    return Move(
        move_name(move.id),
        _letters_and_digits(move.type.name),
        _letters_and_digits(move.category.name),
        int(move.base_power),
        float(move.accuracy),
        int(move.priority),
        move.max_pp if current is None else current,
        move.max_pp if most is None else most,
    )


@lru_cache(8192)
def _move_number(what: str, *moves: str) -> int | None:
    """Position of a move among others in metamon's order; None if it is not among them."""
    ranked = sorted(map(move_name, moves))
    return ranked.index(move_name(what)) if move_name(what) in ranked else None


@lru_cache(8192)
def move_name(text: str) -> str:
    """metamon's name of a move, which is also its sort key."""
    letters = _letters(text)
    for stem in ("hiddenpower", "return", "frustration"):
        if letters.startswith(stem):
            return stem
    return "visegrip" if letters == "vicegrip" else letters


@lru_cache(8192)
def _base_species(species: str, gen: int) -> str:
    return _letters_and_digits(GenData.from_gen(gen).pokedex[species]["baseSpecies"])


@lru_cache(8192)
def _looks(species: str, gen: int, first: PokemonType, second: PokemonType | None) -> tuple[str, str, str]:
    """A Pokémon's name, base species and types."""
    types = sorted(_letters_and_digits(kind.name) if kind else "notype" for kind in (first, second))
    return _letters_and_digits(species), _base_species(species, gen), " ".join(types)


def _latest(started: Mapping[Condition, int]) -> str:
    """The latest of the present conditions; layers count as turns, as in metamon."""
    return _letters(max(started, key=started.__getitem__).name)


@lru_cache(8192)
def _letters(text: str) -> str:
    return "".join(filter(str.isalpha, text)).lower()


@lru_cache(8192)
def _letters_and_digits(text: str) -> str:
    return "".join(filter(str.isalnum, text)).lower()


EFFECTS = frozenset(_letters(effect.name) for effect in Effect)
