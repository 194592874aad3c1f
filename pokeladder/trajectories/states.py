"""The state in metamon's parsed-replay format: fields in their order, and types."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct


class Move(Struct, frozen=True, gc=False):
    """A move, with its PP as far as the side knows."""

    name: str
    move_type: str
    category: str
    base_power: int
    accuracy: float
    priority: int
    current_pp: int
    max_pp: int


class Pokemon(Struct, frozen=True, gc=False):
    """A Pokémon as the side knows it. ``hp_pct`` is a share from 0 to 1, ``lvl`` its level."""

    name: str
    hp_pct: float
    types: str
    item: str
    ability: str
    lvl: int
    status: str
    effect: str
    moves: Sequence[Move]
    atk_boost: int
    spa_boost: int
    def_boost: int
    spd_boost: int
    spe_boost: int
    accuracy_boost: int
    evasion_boost: int
    base_atk: int
    base_spa: int
    base_def: int
    base_spd: int
    base_spe: int
    base_hp: int
    tera_type: str
    base_species: str

    @property
    def species(self) -> str:
        """The species without the forme."""
        return self.base_species


class State(Struct, frozen=True, gc=False):
    """The information of one side at a decision, or at the end of the battle."""

    format: str
    player_active_pokemon: Pokemon
    opponent_active_pokemon: Pokemon
    available_switches: Sequence[Pokemon]
    player_prev_move: Move
    opponent_prev_move: Move
    opponents_remaining: int
    player_conditions: str
    opponent_conditions: str
    weather: str
    battle_field: str
    forced_switch: bool
    battle_won: bool
    battle_lost: bool
    can_tera: bool
    opponent_teampreview: Sequence[str]


# The previous move of a Pokémon that has not used one yet.
NO_MOVE = Move("nomove", "nomove", "nomove", 0, 1.0, 0, 0, 0)
encode = msgspec.json.Encoder().encode
