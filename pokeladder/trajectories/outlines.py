"""Outlines: the values of a trajectory that summaries use, a hundredth of its document.

msgspec reads them from a document in a third of the time that DuckDB takes, since it skips the other values. While
battles are recorded, the outline is made together with the document.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from pokeladder.records import Outline, StateOutline
from pokeladder.trajectories.states import State

# Limits of a trajectory, far above those of a battle, which ends after 1,000 turns. Larger documents would take many
# times their size of memory.
MOST_STATES = 20_000
MOST_SPECIES = 100
# In larger documents braces and commas are counted before decoding; a state has at most these numbers of them.
COUNTED_BYTES = 1 << 20
BRACES_A_STATE, COMMAS_A_STATE = 64, 512

Count = Annotated[int, Meta(ge=-(2**31), lt=2**31)]
Action = Annotated[int, Meta(ge=-1, lt=2**31)]
Word = Annotated[str, Meta(max_length=100)]
Share = Annotated[float, Meta(ge=0, le=1000)]


class _Move(Struct, frozen=True, gc=False):
    current_pp: Count | None = None


class _Pokemon(Struct, frozen=True, gc=False):
    name: Word | None = None
    base_species: Word | None = None
    hp_pct: Share | None = None
    status: Word | None = None

    @property
    def species(self) -> str | None:
        return self.base_species or self.name


class _OwnPokemon(_Pokemon, frozen=True, gc=False):
    moves: tuple[_Move, ...] = ()


class _LastMove(Struct, frozen=True, gc=False):
    name: Word | None = None


class _State(Struct, frozen=True, gc=False):
    player_active_pokemon: _OwnPokemon = _OwnPokemon()
    opponent_active_pokemon: _Pokemon = _Pokemon()
    available_switches: list[Raw] | None = None
    player_prev_move: _LastMove = _LastMove()
    opponent_prev_move: _LastMove = _LastMove()
    opponents_remaining: Count | None = None
    forced_switch: bool | None = None
    battle_won: bool = False
    battle_lost: bool = False
    can_tera: bool = False
    format: Word | None = None


class _Trajectory(Struct, frozen=True, gc=False):
    states: list[_State] | None = None
    actions: list[Action | None] | None = None


class _Keys(Struct, frozen=True, gc=False):
    states: Raw | UnsetType = UNSET
    actions: Raw | UnsetType = UNSET


_KEYS = msgspec.json.Decoder(_Keys)
_DECODER = msgspec.json.Decoder(_Trajectory)
_POKEMON = msgspec.json.Decoder(_Pokemon)


def outline_of(document: bytes) -> Outline:
    """The outline of a JSON document."""
    try:
        return _outline(_decoded(document))
    except _TooLargeError as error:
        return Outline(str(error))
    except (msgspec.MsgspecError, RecursionError) as error:
        return Outline(f"it is not a JSON object in metamon's format: {error}")


def is_trajectory(document: bytes) -> bool:
    """Whether a document is a JSON object with states or actions."""
    try:
        keys = _KEYS.decode(document)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return keys.states is not UNSET or keys.actions is not UNSET


class _TooLargeError(ValueError):
    """A document exceeds the limits of a trajectory."""


def _decoded(document: bytes) -> _Trajectory:
    """Decodes a document.

    Raises:
        msgspec.MsgspecError, RecursionError: it is not a JSON object, or has other types than metamon's.
        _TooLargeError: it exceeds the limits of a trajectory.
    """
    if len(document) > COUNTED_BYTES and (
        document.count(b"{") > BRACES_A_STATE * MOST_STATES or document.count(b",") > COMMAS_A_STATE * MOST_STATES
    ):
        raise _TooLargeError(f"it has more than the {MOST_STATES:,} states that a battle can have")
    trajectory = _DECODER.decode(document)
    states = trajectory.states or ()
    if max(len(states), len(trajectory.actions or ())) > MOST_STATES:
        raise _TooLargeError(f"it has more than the {MOST_STATES:,} states that a battle can have")
    if (
        len({state.player_active_pokemon.species for state in states}) > MOST_SPECIES
        or len({state.opponent_active_pokemon.species for state in states}) > MOST_SPECIES
        or any(len(state.available_switches or ()) > MOST_SPECIES for state in states)
    ):
        raise _TooLargeError(f"a side has more than {MOST_SPECIES} Pokémon")
    return trajectory


def _outline(trajectory: _Trajectory) -> Outline:
    states, actions = trajectory.states or (), trajectory.actions
    count = None if actions is None else len(actions)
    if not states:
        return Outline(action_count=count, actions=actions)
    first, last = states[0], states[-1]
    return Outline(
        action_count=count,
        format=first.format,
        actions=actions[:-1] if actions is not None else None,
        states=[outline_of_state(state) for state in states],
        bench=[_POKEMON.decode(pokemon).species for pokemon in first.available_switches or ()],
        bench_hp=[_POKEMON.decode(pokemon).hp_pct for pokemon in last.available_switches or ()],
        opponent_pokemon_left=last.opponents_remaining,
        won=last.battle_won,
        lost=last.battle_lost,
    )


def outline_of_state(state: State | _State) -> StateOutline:
    """The outline of one state."""
    own, other = state.player_active_pokemon, state.opponent_active_pokemon
    return StateOutline(
        own.species,
        own.hp_pct,
        other.species,
        other.hp_pct,
        len(own.moves),
        None if state.available_switches is None else len(state.available_switches),
        state.forced_switch,
        state.can_tera,
        state.player_prev_move.name,
        state.opponent_prev_move.name,
        state.opponents_remaining,
        any(move.current_pp for move in own.moves),
        own.status,
        other.status,
    )
