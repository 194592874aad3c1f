"""Battles of Pokémon agents, kept in a DuckDB store and rated with SQL."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pokeladder.agents.specs import Agent
    from pokeladder.errors import PokeladderError
    from pokeladder.ladder import Ladder
    from pokeladder.ladder import open_ladder as open  # noqa: A004
    from pokeladder.runs.progress import Progress
    from pokeladder.runs.replays import Replay

__all__ = ["Agent", "Ladder", "PokeladderError", "Progress", "Replay", "open"]

_HOMES = {
    "Agent": "agents.specs.Agent",
    "Ladder": "ladder.Ladder",
    "PokeladderError": "errors.PokeladderError",
    "Progress": "runs.progress.Progress",
    "Replay": "runs.replays.Replay",
    "open": "ladder.open_ladder",
}


def __getattr__(name: str) -> Any:
    # Names are imported on first use: the processes that play need neither DuckDB nor Arrow, half of all imports.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOMES[name].rpartition(".")
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)


def __dir__() -> list[str]:
    return __all__
