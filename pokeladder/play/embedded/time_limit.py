"""The time limit of agents' decisions."""

from __future__ import annotations

import signal
import time
import types
from collections.abc import Awaitable, Callable, Generator
from typing import Any

# Seconds between alarms. An agent that catches the exception gets another one.
TICK_SECONDS = 0.1


class TurnTimeout(BaseException):
    """Raised inside an agent that exceeds the time limit; not an Exception, so that agents rarely catch it."""


class TimeLimit:
    """Runs calls of the main thread under a time limit, using the alarm signal.

    The alarm interrupts Python code and blocking system calls, but not native code. For that the parent process watches
    the :class:`~pokeladder.play.embedded.heartbeat.Heartbeat`.

    Args:
        seconds: time limit of one call.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._deadline: float | None = None
        signal.signal(signal.SIGALRM, self._ring)
        # One repeating timer, since one for each call would take two system calls.
        signal.setitimer(signal.ITIMER_REAL, TICK_SECONDS, TICK_SECONDS)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a function; its result.

        Raises:
            TurnTimeout: the call exceeded the limit.
        """
        self._deadline = time.monotonic() + self.seconds
        try:
            return function(*arguments)
        finally:
            self._deadline = None

    def _ring(self, *_: object) -> None:
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise TurnTimeout


@types.coroutine
def drive(awaitable: Awaitable[Any], call: Callable[..., Any]) -> Generator[Any, Any, Any]:
    """Awaits ``awaitable``, running each of its steps with ``call(function, argument)``."""
    steps: Any = awaitable.__await__()
    resume, argument = steps.send, None
    while True:
        try:
            waiting_for = call(resume, argument)
        except StopIteration as finished:
            return finished.value
        try:
            resume, argument = steps.send, (yield waiting_for)
        except BaseException as error:
            resume, argument = steps.throw, error
