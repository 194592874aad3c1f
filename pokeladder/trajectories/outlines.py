"""What summaries need to know of trajectories' documents, as columns: a hundredth of their size.

Documents are megabytes of JSON of which little is wanted; msgspec skips the rest in a third of the time that DuckDB
takes to parse it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Annotated, Any

import msgspec
import pyarrow as pa
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

# Far more than any battle of Showdown's has, which ends after 1,000 turns: what exceeds them is no trajectory, and
# would take many times its own size of memory.
MOST_STATES = 20_000
MOST_SPECIES = 100
# Documents above this size are counted before they are decoded, by what a state has at most of braces and commas.
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
_STATE = pa.struct(
    [
        ("species", pa.string()),
        ("hp", pa.float64()),
        ("opponent_species", pa.string()),
        ("opponent_hp", pa.float64()),
        ("moves", pa.int32()),
        ("switches", pa.int32()),
        ("forced", pa.bool_()),
        ("can_tera", pa.bool_()),
        ("last_move", pa.string()),
        ("opponent_last_move", pa.string()),
        ("opponents_left", pa.int32()),
        ("has_pp", pa.bool_()),
        ("status", pa.string()),
        ("opponent_status", pa.string()),
    ]
)
OUTLINES = pa.schema(
    [
        ("trajectory_id", pa.string()),
        ("unreadable", pa.string()),
        ("action_count", pa.int32()),
        ("format", pa.string()),
        ("actions", pa.list_(pa.int32())),
        ("states", pa.list_(_STATE)),
        ("bench", pa.list_(pa.string())),
        ("bench_hp", pa.list_(pa.float64())),
        ("opponent_pokemon_left", pa.int32()),
        ("won", pa.bool_()),
        ("lost", pa.bool_()),
    ]
)


def outlines(trajectory_ids: Sequence[str], documents: Iterable[bytes]) -> pa.Table:
    """One row a document, in their order, with the columns of :data:`OUTLINES`.

    unreadable says why nothing else is known. actions lacks the last, which stands for none; states has them all. bench
    has the species of the first state's bench, bench_hp the HP on the last state's.
    """
    rows: list[tuple[Any, ...]] = []
    lengths: list[int] = [0]
    states: list[tuple[Any, ...]] = []
    for document in documents:
        try:
            trajectory = _decoded(document)
            known = trajectory.states or []
            rows.append((None, *_row(trajectory, known)))
        except _TooLargeError as error:
            rows.append((str(error), *[None] * 8))
            known = []
        except (msgspec.MsgspecError, RecursionError) as error:
            rows.append((f"it is not a JSON object like metamon's: {error}", *[None] * 8))
            known = []
        lengths.append(len(known))
        states += map(_outline, known)
    unreadable, *columns = zip(*rows, strict=True) if rows else [[] for _ in range(9)]
    flat = zip(*states, strict=True) if states else [[] for _ in _STATE]
    struct = pa.StructArray.from_arrays(
        [pa.array(column, field.type) for column, field in zip(flat, _STATE, strict=True)], fields=list(_STATE)
    )
    listed = pa.ListArray.from_arrays(pa.array(accumulate(lengths), pa.int32()), struct)
    values = dict(zip(_ROW, columns, strict=True), trajectory_id=trajectory_ids, unreadable=unreadable)
    arrays = [listed if field.name == "states" else pa.array(values[field.name], field.type) for field in OUTLINES]
    return pa.table(arrays, schema=OUTLINES)


def is_trajectory(document: bytes) -> bool:
    """Whether a document is a JSON object with what only trajectories have."""
    try:
        keys = _KEYS.decode(document)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return keys.states is not UNSET or keys.actions is not UNSET


class _TooLargeError(ValueError):
    """A document has more of something than any battle."""


def _decoded(document: bytes) -> _Trajectory:
    """A document's trajectory.

    Raises:
        msgspec.MsgspecError, RecursionError: it is no JSON object, or has other types than metamon's.
        _TooLargeError: it has more than any battle.
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


_ROW = ("action_count", "format", "actions", "bench", "bench_hp", "opponent_pokemon_left", "won", "lost")


def _row(trajectory: _Trajectory, states: Sequence[_State]) -> tuple[Any, ...]:
    actions = trajectory.actions
    count = None if actions is None else len(actions)
    if not states:
        return (count, None, actions, None, None, None, None, None)
    first, last = states[0], states[-1]
    return (
        count,
        first.format,
        actions[:-1] if actions is not None else None,
        [_POKEMON.decode(pokemon).species for pokemon in first.available_switches or ()],
        [_POKEMON.decode(pokemon).hp_pct for pokemon in last.available_switches or ()],
        last.opponents_remaining,
        last.battle_won,
        last.battle_lost,
    )


def _outline(state: _State) -> tuple[Any, ...]:
    own, other = state.player_active_pokemon, state.opponent_active_pokemon
    return (
        own.base_species or own.name,
        own.hp_pct,
        other.base_species or other.name,
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
