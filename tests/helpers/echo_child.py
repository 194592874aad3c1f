"""A child process that answers each object with the object itself."""

from __future__ import annotations

from pokeladder.system.processes import Parent


def main() -> None:
    parent = Parent()
    for message in parent.messages():
        parent.send(message)
