"""The command line."""

from pokeladder.cli.app import main

__all__ = ["main"]
