"""poke-env's view of a battle, corrected where poke-env cannot read a request or a line."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from poke_env.battle import Battle, Move, Pokemon
from poke_env.player.battle_order import SingleBattleOrder

# Moves that call another one, for which poke-env deducts PP. The called move is not one of the Pokémon's own moves,
# except with Sleep Talk.
FOLLOWED_CALLERS = {"Copycat": "copycat", "Metronome": "metronome", "Nature Power": "naturepower",
                    "Sleep Talk": "sleeptalk"}  # fmt: skip
BOUNCERS = frozenset({"Magic Coat", "Mirror Move"})
# Sources of a move that poke-env handles.
OTHER_SOURCES = frozenset(
    {"lockedmove", "Pursuit", "Sky Attack", "Round", "Grass Pledge", "Water Pledge", "Fire Pledge"}
)
SOURCE = "[from]"
UNREVEALED = "[from] lockedmove"
log = logging.getLogger(__name__)


class SteadyBattle(Battle):
    """A ``Battle`` whose choices are those of the request, also after called moves and with Pokémon of one name."""

    def parse_request(self, request: dict[str, Any], strict_battle_tracking: bool = False) -> None:
        try:
            super().parse_request(request, strict_battle_tracking)
        except Exception as error:
            if strict_battle_tracking:
                raise
            # poke-env's assertion fails for moves that the Pokémon does not have: a called move that goes on, a Z-move,
            # a Max Move.
            if not isinstance(error, AssertionError):
                log.warning("poke-env could not read the request %r", request, exc_info=True)
            self._offer(request)

    def parse_message(self, split_message: list[str]) -> None:
        if len(split_message) > 5 and split_message[1] == "move":
            super().parse_message(self._with_known_source(split_message))
            self._replay_data[-1] = split_message[:]
        else:
            super().parse_message(split_message)

    def switch(self, pokemon_str: str, details: str, hp_status: str) -> None:
        ident = f"{pokemon_str[:2]}{pokemon_str[3:]}"
        team = self._team if ident[:2] == self.player_role else self._opponent_team
        if ident not in team:
            self._meet(team, ident, details=details)
        super().switch(pokemon_str, details, hp_status)

    @property
    def valid_orders(self) -> list[SingleBattleOrder]:
        if not self.can_z_move:
            return super().valid_orders
        active = self.last_request["active"][0]
        able = {move["id"] for move, offer in zip(active["moves"], active["canZMove"], strict=False) if offer}
        try:
            orders = super().valid_orders
        except KeyError:
            # poke-env lacks this crystal.
            self._can_z_move = False
            orders = super().valid_orders
            self._can_z_move = True
        return [order for order in orders if not order.z_move or _request_id(order.order) in able]

    def _update_team_from_request(self, side: dict[str, Any], strict_battle_tracking: bool = False) -> None:
        for entry in side["pokemon"]:
            if entry["ident"] not in self._team:
                self._meet(self._team, entry["ident"], request_pokemon=entry)
        super()._update_team_from_request(side, strict_battle_tracking)

    def _meet(self, team: dict[str, Pokemon], ident: str, **known: Any) -> None:
        """Adds a Pokémon under its name, which poke-env would confuse with one of the same species."""
        team[ident] = Pokemon(name=ident[4:], gen=self.gen, **known)

    def _offer(self, request: dict[str, Any]) -> None:
        """Sets moves, switches and flags from a request, as poke-env does once it knows the team."""
        active = request["active"][0] if "active" in request else {"moves": []}
        pokemon = self.active_pokemon
        self._available_moves = [
            _move_of(pokemon, move["id"]) for move in active["moves"] if pokemon and not move.get("disabled")
        ]
        self._can_mega_evolve = bool(active.get("canMegaEvo"))
        self._can_z_move = bool(active.get("canZMove"))
        self._can_dynamax = bool(active.get("canDynamax"))
        self._can_tera = bool(active.get("canTerastallize"))
        self._maybe_trapped = bool(active.get("maybeTrapped"))
        self._trapped = bool(active.get("trapped"))
        if not self._trapped:
            self._available_switches = [
                self.team[entry["ident"]]
                for entry in request["side"]["pokemon"]
                if not entry["active"]
                and entry["condition"].endswith(" fnt") is self.reviving
                and entry["ident"] in self.team
            ]

    def _with_known_source(self, message: Sequence[str]) -> list[str]:
        """A ``move`` line whose calling move is written in the form that poke-env reads.

        Gens 1 and 3 omit ``move: ``, and write a continued move as its own source.
        """
        return [self._known_source(message, part) if part.startswith(SOURCE) else part for part in message]

    def _known_source(self, message: Sequence[str], part: str) -> str:
        source = part.removeprefix(SOURCE).strip()
        name = source.removeprefix("move:").strip()
        if source.startswith("ability:") or name in OTHER_SOURCES:
            return part
        if name in BOUNCERS:
            return f"{SOURCE} {name}"
        if name in FOLLOWED_CALLERS and FOLLOWED_CALLERS[name] in self.get_pokemon(message[2]).moves:
            return f"{SOURCE} move: {name}"
        return UNREVEALED


def choice_text(answer: object, battle: Battle) -> object:
    """An agent's answer, with a position in place of a name that is ambiguous for the simulator.

    The simulator takes the first Pokémon of that name or present species, such as an active Ditto, and the first of two
    equal moves. Names that begin with a digit are read as positions.
    """
    text = getattr(answer, "message", answer)
    if not isinstance(answer, SingleBattleOrder) or not battle.last_request:
        return text
    if isinstance(answer.order, Pokemon):
        for place, entry in enumerate(battle.last_request["side"]["pokemon"], start=1):
            if battle.team.get(entry["ident"]) is answer.order:
                return f"/choose switch {place}"
    elif isinstance(answer.order, Move) and "active" in battle.last_request:
        return _with_enabled_slot(str(text), battle.last_request["active"][0]["moves"], _request_id(answer.order))
    return text


def _with_enabled_slot(text: str, moves: Sequence[dict[str, Any]], name: str) -> str:
    slots = [place for place, move in enumerate(moves, start=1) if move["id"] == name]
    if len(slots) < 2 and not name.isdigit():
        return text
    enabled = [place for place in slots if not moves[place - 1].get("disabled")]
    return text.replace(f"/choose move {name}", f"/choose move {enabled[0]}", 1) if enabled else text


def _move_of(pokemon: Pokemon, move: str) -> Move:
    known = pokemon.moves.get(move)
    if known is None:
        names = [name for name in pokemon.moves if move == "hiddenpower" and name.startswith(move)]
        known = pokemon.moves[names[0]] if names else Move(move, pokemon.gen)
    return known.dynamaxed if pokemon.is_dynamaxed else known


def _request_id(move: Move | Pokemon | str) -> str:
    name = move.id if isinstance(move, Move) else ""
    return "hiddenpower" if name.startswith("hiddenpower") else name
