"""Adds moves and Pokémon of special formats to poke-env's data, which has only those of the games."""

from __future__ import annotations

from poke_env.battle import PokemonType
from poke_env.data import GenData

from pokeladder.play.messages import Additions


def learn(gen: int, additions: Additions) -> None:
    """Adds moves and Pokémon that poke-env lacks to its data of a generation, in this process."""
    data = GenData.from_gen(gen)
    no_type = PokemonType.THREE_QUESTION_MARKS.name
    for multipliers in data.type_chart.values():
        multipliers.setdefault(no_type, 1.0)
    data.type_chart.setdefault(no_type, dict.fromkeys([*data.type_chart, no_type], 1.0))
    for name, move in additions.get("moves", {}).items():
        data.moves.setdefault(name, move)
    for name, species in additions.get("species", {}).items():
        base = _id(species.get("baseSpecies", name))
        needed = {"heightm": 0, "weightkg": 0, "abilities": {}, "baseSpecies": base, "species": base}
        data.pokedex.setdefault(name, {**needed, **species, "baseSpecies": base, "species": base})


def take_unknown_types() -> None:
    """Patches poke-env to read unknown types, such as Bird, as no type."""
    known = {kind.name: kind for kind in PokemonType}

    def from_name(name: str) -> PokemonType:
        return known.get(name.upper(), PokemonType.THREE_QUESTION_MARKS)

    PokemonType.from_name = staticmethod(from_name)  # type: ignore[method-assign]


def _id(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()


take_unknown_types()
