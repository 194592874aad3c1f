"""What plays the games of a run: worker processes, a Ray cluster or a server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, Self

from pokeladder.play.messages import Attempt
from pokeladder.records import Notice, Result


class Arena(Protocol):
    """A context manager that leaves no process behind."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def play(self, games: Iterable[Attempt]) -> Iterator[Result | Notice | None]:
        """Yields every result as it comes, notices between them, and None every quarter of a second.

        A void result is followed by the next attempt at the same game, if there is one.

        Raises:
            AgentError: an agent cannot play.
            SimulatorError: what plays keeps dying.
        """
        ...
