"""The protocol of arenas, which play the games of a run: worker processes, a Ray cluster or a server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, Self

from pokeladder.play.messages import Attempt
from pokeladder.records import Notice, Result


class Arena(Protocol):
    """Plays games. It is a context manager, which ends all of its processes."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def play(self, games: Iterable[Attempt]) -> Iterator[Result | Notice | None]:
        """Yields each result when it is there, notices, and None every quarter of a second.

        A void result is followed by the next attempt at the same game, unless there were too many.

        Raises:
            AgentError: an agent cannot play.
            SimulatorError: the playing processes died too often.
        """
        ...
