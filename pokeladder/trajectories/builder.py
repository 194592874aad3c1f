"""What one side knew at each of its decisions, and what it did, in metamon's parsed-replay format.

A document is one JSON object, ``{"states": [...], "actions": [...]}``, two lists of one length: the last state is how
the battle ended for that side, and the last action, -1, stands for none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache
from itertools import islice
from operator import itemgetter
from typing import Any, TypeVar

from lz4.frame import LZ4FrameCompressor
from lz4.frame import compress as lz4_compress
from poke_env.battle import Battle, Effect, Move, Pokemon, PokemonType, Status
from poke_env.data import GenData

FAINTED = Status.FNT
NO_ACTION = -1
SWITCH_ACTION = 4
TERA_ACTION = 9
# The one thing to do when a Pokémon must recharge, has no PP left, or (gen 1) cannot choose; every move index means it.
FORCED_MOVES = frozenset({"recharge", "struggle", "fight"})
# Moves with these do not count as the Pokémon's own.
REFLECTED = ("Magic Bounce", "Magic Coat", "Dancer")
PARTY = 6
NO_MOVE = (
    '{"name":"nomove","move_type":"nomove","category":"nomove","base_power":0,"accuracy":1.0,"priority":0,'
    '"current_pp":0,"max_pp":0}'
)
BOOST_NAMES = ("atk", "spa", "def", "spd", "spe", "accuracy", "evasion")
STAT_NAMES = ("atk", "spa", "def", "spd", "spe", "hp")
BOOSTS, STATS = itemgetter(*BOOST_NAMES), itemgetter(*STAT_NAMES)
NOTHING_KNOWN: Mapping[str, tuple[int, int]] = {}
Condition = TypeVar("Condition", bound=Enum)
# JSON of something, and of what summaries need of it.
Drawn = tuple[str, str]
# A state as JSON, cut around its bench, which most states share with the one before; and what summaries need of it.
State = tuple[tuple[str, str, str], str]
# A move's JSON object up to the PP, its PP, and how many that can be.
KnownMove = tuple[str, int, int]
# What requests tell of a Pokémon on the bench that can change there: ident, condition, item, details.
Benched = tuple[str, str, str, str]
NEVER: tuple[None, Drawn] = None, ("", "")
# Characters of states.
COMPRESSED_AT_ONCE = 1 << 20


class TrajectoryBuilder:
    """Follows one side of one battle, state by state.

    Args:
        battle: poke-env's view of that side, kept up to date by others.

    Attributes:
        invalid_steps: numbers of the steps, from 0, at which the agent had no legal choice to offer at first.
        size: bytes of the document, once it is finished.
    """

    def __init__(self, battle: Battle, format_id: str) -> None:
        self._battle = battle
        self._format = format_id
        self._writer = LZ4FrameCompressor()
        self._frame = bytearray(self._writer.begin())
        self._outlines: list[str] = []
        self._actions: list[int] = []
        # States that are not compressed yet, and how long they are.
        self._states: list[str] = []
        self._length = 0
        # The decision under way: its request, this side's Pokémon there, the state, and the bench that it shows.
        self._request: dict[str, Any] = {}
        self._entries: list[dict[str, Any]] = []
        self._waiting: State | None = None
        self._bench: list[Benched] = []
        self._switches: Drawn = "", ""
        self._benched: dict[str, tuple[Benched, Drawn]] = {}
        self._last_moves: dict[Pokemon, Move | None] = {}
        # PP of this side's moves as the simulator last told them, by Pokémon and move.
        self._pp: dict[str, dict[str, tuple[int, int]]] = {}
        # Names of effects that poke-env calls unknown.
        self._unnamed: dict[Pokemon, str] = {}
        self._preview: str | None = None
        self.invalid_steps: list[int] = []
        self.size = 0

    def moved(self, line: str) -> None:
        """Takes in a ``|move|`` line, after poke-env has."""
        message = line.split("|")
        if len(message) > 5 and any(mark in part for part in message[5:] for mark in REFLECTED):
            return
        own = message[2][:2] == self._battle.player_role
        pokemon = self._battle.active_pokemon if own else self._battle.opponent_active_pokemon
        if pokemon is not None:
            move = _stored_move(message[3], pokemon.gen)
            self._last_moves[pokemon] = (pokemon.moves.get(move) or Move(move, pokemon.gen)) if move else None

    def began(self, line: str) -> None:
        """Takes in a ``|-start|`` line, after poke-env has."""
        _, _, who, what, *_ = line.split("|")
        effect = _letters(what.rpartition(":")[2])
        if effect not in EFFECTS:
            self._unnamed[self._battle.get_pokemon(who)] = effect

    @property
    def steps(self) -> int:
        """Decisions that have ended."""
        return len(self._actions)

    def ask(self, request: dict[str, Any]) -> None:
        """A decision begins: keeps the state that this request and the lines before it make."""
        self._request = request
        entries = self._entries = request["side"]["pokemon"]
        active = entries[0]
        if not active["active"]:
            raise ValueError("no Pokémon of this side is active")
        reviving = bool(self._battle.reviving)
        bench = [
            (entry["ident"], entry["condition"], entry["item"], entry["details"])
            for entry in entries[1:]
            if entry["condition"].endswith(" fnt") is reviving
        ]
        ident = active["ident"]
        self._benched.pop(ident, None)
        if bench != self._bench:
            self._bench = bench
            self._switches = self._drawn_bench(bench)
        if "active" in request:
            known = self._pp.setdefault(ident, {})
            for move in request["active"][0]["moves"]:
                if "pp" in move:
                    # Gen 1 lets PP roll over, and keeps those of Mimic for the move that takes its place. A format with
                    # rules of its own has fractions.
                    most = int(move["maxpp"])
                    known[move["id"]] = max(0, min(int(move["pp"]), most)), most
        pokemon = self._battle.team[ident]
        self._waiting = self._state(pokemon, self._own_pokemon(pokemon, active), self._switches)

    @property
    def battle(self) -> Battle:
        return self._battle

    def state(self) -> bytes:
        """The present decision's state as JSON."""
        if self._waiting is None:
            raise ValueError("no decision is under way")
        return "".join(self._waiting[0]).encode()

    def options(self) -> dict[int, str]:
        """The present decision's choices, as clients write them, by the actions that metamon takes for legal ones."""
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
            # A move that another one called goes on.
            forced = next(iter(moves.values()), None)
        if forced is not None:
            options = dict.fromkeys(range(len(known)), forced)
            # metamon takes whatever it is told then for this one move.
            if "recharge" in moves:
                return options | dict.fromkeys(switches, forced)
        else:
            options = {number: moves[move] for move, number in numbers.items() if number is not None}
            if active.get("canTerastallize"):
                options |= {TERA_ACTION + number: f"{choice} terastallize" for number, choice in options.items()}
        return options if active.get("trapped") else options | switches

    def act(self, choice: str) -> None:
        """The decision ends with the choice that the simulator has carried out, as it writes choices."""
        if self._waiting is not None:
            self._end_step(self._waiting, self._action(choice))

    def give_up(self) -> None:
        """The decision ends without a choice: the side forfeits."""
        if self._waiting is not None:
            self._forget_invalid()
            self._end_step(self._waiting, NO_ACTION)

    def mark_invalid(self) -> None:
        """The present decision began with a choice that was none."""
        if self._waiting is not None:
            self.invalid_steps.append(len(self._actions))

    def finish(self) -> tuple[bytes, bytes]:
        """The whole trajectory, its last state being the present one; a decision under way is left out.

        Returns:
            The document as an lz4 frame, and another of the same document with only those keys that
            ``sql/queries/trajectory_summaries.sql`` makes use of.
        """
        self._forget_invalid()
        active = self._battle.active_pokemon
        if active is None:
            raise ValueError("no Pokémon of this side is active")
        team = self._battle.team.values()
        bench = [
            self._seen_pokemon(pokemon, own=True) for pokemon in team if not pokemon.fainted and not pokemon.active
        ]
        self._write(self._state(active, self._seen_pokemon(active, own=True), _joined(bench)))
        self._compress()
        end = f'],"actions":[{",".join(map(str, [*self._actions, NO_ACTION]))}]}}'
        self._frame += self._writer.compress(end.encode())
        self._frame += self._writer.flush()
        self.size += len(end)
        outline = f'{{"states":[{",".join(self._outlines)}{end}'
        return bytes(self._frame), lz4_compress(outline.encode())

    def _forget_invalid(self) -> None:
        """A decision that ends in no action is not an invalid one as well."""
        if self.invalid_steps and self.invalid_steps[-1] == len(self._actions):
            self.invalid_steps.pop()

    def _end_step(self, state: State, action: int) -> None:
        self._write(state)
        self._actions.append(action)
        self._waiting = None

    def _write(self, state: State) -> None:
        parts, outline = state
        self._states.append("," if self._outlines else '{"states":[')
        self._states += parts
        self._outlines.append(outline)
        self._length += sum(map(len, parts))
        # Even battles of a thousand turns, a hundred at once, shall take little memory.
        if self._length > COMPRESSED_AT_ONCE:
            self._compress()

    def _compress(self) -> None:
        text = "".join(self._states).encode()
        self._frame += self._writer.compress(text)
        self.size += len(text)
        self._states.clear()
        self._length = 0

    def _action(self, choice: str) -> int:
        kind, what, *extras = choice.split(" ")
        if kind == "switch":
            return SWITCH_ACTION + self._ranked_bench().index(self._entries[int(what) - 1]["ident"])
        if what.isdigit():
            # A place, where the name would not say which move it is.
            what = self._request["active"][0]["moves"][int(what) - 1]["id"]
        if what in FORCED_MOVES:
            return 0
        number = _move_number(what, *self._entries[0]["moves"][:4])
        if number is None:
            # A move that another one called goes on: whatever was chosen, there was one thing to do. A Pokémon with
            # more than four moves may have one that the state does not show.
            offered = [move["id"] for move in self._request["active"][0]["moves"]]
            return NO_ACTION if len(offered) > 1 and what in offered else 0
        return number + (TERA_ACTION if "terastallize" in extras else 0)

    def _ranked_bench(self) -> list[str]:
        """Who can be switched to, in the order in which metamon counts them."""
        team = self._battle.team
        return sorted((ident for ident, *_ in self._bench), key=lambda ident: _letters_and_digits(team[ident].species))

    def _state(self, active: Pokemon, own: Drawn, switches: Drawn) -> State:
        battle = self._battle
        opponent = battle.opponent_active_pokemon
        if opponent is None:
            raise ValueError("no Pokémon of the opponent is active")
        seen = self._seen_pokemon(opponent, own=False)
        last_move, opponent_last_move = self._last_move(active, own=True), self._last_move(opponent, own=False)
        fainted = [pokemon for pokemon in battle.opponent_team.values() if pokemon.status is FAINTED]
        left = max(PARTY - len(fainted), 0)
        flags = _flags(battle.force_switch, battle.won, battle.can_tera)
        own_conditions, conditions = battle.side_conditions, battle.opponent_side_conditions
        before = (
            f'{{"format":"{self._format}",'
            f'"player_active_pokemon":{own[0]},'
            f'"opponent_active_pokemon":{seen[0]},'
            '"available_switches":['
        )
        after = (
            f'],"player_prev_move":{last_move},'
            f'"opponent_prev_move":{opponent_last_move},'
            f'"opponents_remaining":{left},'
            f'"player_conditions":"{_latest(own_conditions) if own_conditions else "noconditions"}",'
            f'"opponent_conditions":"{_latest(conditions) if conditions else "noconditions"}",'
            f'"weather":"{_letters(next(iter(battle.weather)).name) if battle.weather else "noweather"}",'
            f'"battle_field":"{_latest(battle.fields) if battle.fields else "nofield"}",'
            f'{flags},"opponent_teampreview":[{self._opponent_preview()}]}}'
        )
        outline = (
            f'{{"format":"{self._format}","player_active_pokemon":{own[1]},"opponent_active_pokemon":{seen[1]},'
            f'"available_switches":[{switches[1]}],"player_prev_move":{last_move},'
            f'"opponent_prev_move":{opponent_last_move},"opponents_remaining":{left},{flags}}}'
        )
        return (before, switches[0], after), outline

    def _opponent_preview(self) -> str:
        if self._preview is None:
            preview = self._battle.teampreview_opponent_team
            self._preview = ",".join(f'"{_base_species(pokemon.species, pokemon.gen)}"' for pokemon in preview)
        return self._preview

    def _drawn_bench(self, bench: Sequence[Benched]) -> Drawn:
        """A Pokémon on the bench is as it was when it came there, but for what requests say of it."""
        now = {benched[0]: benched for benched in bench}
        entries = {entry["ident"]: entry for entry in self._entries}
        for ident, pokemon in self._battle.team.items():
            if ident in now and self._benched.get(ident, NEVER)[0] != now[ident]:
                self._benched[ident] = now[ident], self._own_pokemon(pokemon, entries[ident])
        whole, outline = _joined([self._benched[ident][1] for ident in self._battle.team if ident in now])
        # Summaries count the bench at every state, but look at that of the first one and the last one only.
        return whole, ",".join(["{}"] * len(now)) if self._outlines else outline

    def _own_pokemon(self, pokemon: Pokemon, entry: dict[str, Any]) -> Drawn:
        """From the simulator's request, which knows its own side better than poke-env can follow."""
        hp_pct, status = _condition(entry["condition"])
        known = self._pp.get(entry["ident"], NOTHING_KNOWN)
        moves = [(static, *known.get(move, full)) for move, static, full in _moves(pokemon.gen, *entry["moves"][:4])]
        tera = entry.get("teraType")
        return self._pokemon(
            pokemon,
            hp_pct,
            status,
            _letters(entry["item"]) or "noitem",
            _letters(entry.get("ability") or entry["baseAbility"]) or "noability",
            moves,
            tera.lower() if tera else "notype",
        )

    def _seen_pokemon(self, pokemon: Pokemon, *, own: bool) -> Drawn:
        """As poke-env has followed it; that is all there is of opponents, and of both sides at the end."""
        status, tera = pokemon.status, pokemon.tera_type
        known = self._known_pp(pokemon) if own else NOTHING_KNOWN
        return self._pokemon(
            pokemon,
            _number(pokemon.current_hp_fraction),
            _letters(status.name) if status else "nostatus",
            "noitem" if pokemon.item is None else _letters(pokemon.item) or "noitem",
            "noability" if pokemon.gen < 3 else _letters(pokemon.ability or "unknownability"),
            [_seen_move(move, known) for move in islice(pokemon.moves.values(), 4)],
            _letters(tera.name) if tera else "notype",
        )

    def _pokemon(
        self,
        pokemon: Pokemon,
        hp_pct: str,
        status: str,
        item: str,
        ability: str,
        moves: Sequence[KnownMove],
        tera_type: str,
    ) -> Drawn:
        name, base_species, types = _looks(pokemon.species, pokemon.gen, pokemon.type_1, pokemon.type_2)
        drawn_moves, some_pp = [], 0
        for static, current, most in moves:
            drawn_moves.append(f'{static}"current_pp":{current},"max_pp":{most}}}')
            some_pp = some_pp or current
        whole = (
            f'{{"name":"{name}",'
            f'"hp_pct":{hp_pct},'
            f'"types":"{types}",'
            f'"item":"{item}",'
            f'"ability":"{ability}",'
            f'"lvl":{pokemon.level},'
            f'"status":"{status}",'
            f'"effect":"{self._effect(pokemon) if pokemon.effects else "noeffect"}",'
            f'"moves":[{",".join(drawn_moves)}],'
            f"{_boosts(BOOSTS(pokemon.boosts))},"
            f"{_base_stats(STATS(pokemon.base_stats))},"
            f'"tera_type":"{tera_type}",'
            f'"base_species":"{base_species}"}}'
        )
        outline = (
            f'{{"hp_pct":{hp_pct},"status":"{status}","moves":[{{"current_pp":{some_pp}}}{",{}" * (len(moves) - 1)}],'
            f'"base_species":"{base_species}"}}'
        )
        return whole, outline

    def _effect(self, pokemon: Pokemon) -> str:
        latest = min(pokemon.effects, key=pokemon.effects.__getitem__)
        return self._unnamed.get(pokemon, "unknown") if latest is Effect.UNKNOWN else _letters(latest.name)

    def _last_move(self, pokemon: Pokemon, *, own: bool) -> str:
        move = self._last_moves.get(pokemon)
        if move is None:
            return NO_MOVE
        static, current, most = _seen_move(move, self._known_pp(pokemon) if own else NOTHING_KNOWN)
        return f'{static}"current_pp":{current},"max_pp":{most}}}'

    def _known_pp(self, pokemon: Pokemon) -> Mapping[str, tuple[int, int]]:
        return self._pp.get(f"{self._battle.player_role}: {pokemon.name}", NOTHING_KNOWN)


def _joined(drawn: Sequence[Drawn]) -> Drawn:
    return ",".join([whole for whole, _ in drawn]), ",".join([outline for _, outline in drawn])


def _seen_move(move: Move, known: Mapping[str, tuple[int, int]]) -> KnownMove:
    _, static, full = _move(move.id, move.gen)
    return static, *known.get(move.id, (move.current_pp, full[1]))


@lru_cache(8192)
def _stored_move(name: str, gen: int) -> str | None:
    """The id of a move that a Pokémon can be said to have used."""
    move = Move.retrieve_id(name)
    return move if Move.should_be_stored(move, gen) else None


@lru_cache(8192)
def _condition(text: str) -> tuple[str, str]:
    """HP and status of this side's Pokémon, from what a request says of them: "120/353 par", "0 fnt"."""
    health, _, status = text.partition(" ")
    left, _, most = health.partition("/")
    return _number(int(left) / int(most) if most else 0.0), status or "nostatus"


@lru_cache(8192)
def _number(value: float) -> str:
    return repr(float(value))


@lru_cache(8192)
def _moves(gen: int, *names: str) -> list[tuple[str, str, tuple[int, int]]]:
    return [_move(name, gen) for name in names]


@lru_cache(8192)
def _move(raw: str, gen: int) -> tuple[str, str, tuple[int, int]]:
    """A move's id, its JSON object up to the PP, and its PP when it was never used."""
    move = Move(Move.retrieve_id(raw), gen, raw_id=raw)
    static = (
        f'{{"name":"{move_name(move.id)}","move_type":"{_letters_and_digits(move.type.name)}",'
        f'"category":"{_letters_and_digits(move.category.name)}","base_power":{int(move.base_power)},'
        f'"accuracy":{float(move.accuracy)!r},"priority":{int(move.priority)},'
    )
    return move.id, static, (move.max_pp, move.max_pp)


@lru_cache(8192)
def _move_number(what: str, *moves: str) -> int | None:
    """Place of a move among others in metamon's order; None if it is none of them."""
    ranked = sorted(map(move_name, moves))
    return ranked.index(move_name(what)) if move_name(what) in ranked else None


@lru_cache(8192)
def move_name(text: str) -> str:
    """A move's name as metamon writes it, which is also what it sorts moves by."""
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


@lru_cache(8192)
def _boosts(boosts: tuple[int, ...]) -> str:
    return ",".join(f'"{name}_boost":{boost}' for name, boost in zip(BOOST_NAMES, boosts, strict=True))


@lru_cache(8192)
def _base_stats(stats: tuple[int, ...]) -> str:
    return ",".join(f'"base_{name}":{stat}' for name, stat in zip(STAT_NAMES, stats, strict=True))


@lru_cache(64)
def _flags(forced: bool, won: bool | None, can_tera: bool) -> str:
    flags = {"forced_switch": forced, "battle_won": won is True, "battle_lost": won is False, "can_tera": can_tera}
    return ",".join(f'"{name}":{"true" if flag else "false"}' for name, flag in flags.items())


def _latest(started: Mapping[Condition, int]) -> str:
    """The condition that began last, of those that last; layers count as turns here, as metamon counts them."""
    return _letters(max(started, key=started.__getitem__).name)


@lru_cache(8192)
def _letters(text: str) -> str:
    return "".join(filter(str.isalpha, text)).lower()


@lru_cache(8192)
def _letters_and_digits(text: str) -> str:
    return "".join(filter(str.isalnum, text)).lower()


EFFECTS = frozenset(_letters(effect.name) for effect in Effect)
