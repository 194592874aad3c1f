"""Battles of Pokémon agents, kept in a DuckDB store and rated with SQL."""

from pokeladder.agents import Agent
from pokeladder.errors import PokeladderError
from pokeladder.ladder import Ladder
from pokeladder.ladder import open_ladder as open  # noqa: A004
from pokeladder.replays import Replay
from pokeladder.tournament import Progress

__all__ = ["Agent", "Ladder", "PokeladderError", "Progress", "Replay", "open"]
