"""Seeds of Showdown's random numbers."""

from __future__ import annotations

import hashlib

from pokeladder.records import Game, Side


def showdown_seed(number: int) -> str:
    """A seed of Showdown's ``gen5`` generator from the low 64 bits; its default generator is 30 times slower."""
    return f"gen5,{number % 2**64:016x}"


def team_seed(game: Game, side: Side) -> str:
    """The seed of a side's team in formats with random teams."""
    digest = hashlib.sha256(f"{game.seed}\n{side} team".encode()).digest()
    return showdown_seed(int.from_bytes(digest[:8], "big"))
