"""Cutting short an agent that takes too long."""

from __future__ import annotations

import signal
import time
import types
from collections.abc import Awaitable, Callable, Generator
from typing import Any

# How often the alarm looks whether time is up. An agent that catches one gets another.
TICK_SECONDS = 0.1


class TurnTimeout(BaseException):
    """Raised inside an agent that is out of time; not an Exception, so that agents do not catch it by accident."""


class TimeLimit:
    """Runs calls of the main thread under a time limit, by the system's alarm signal.

    The alarm interrupts Python code and blocking system calls. Native code that never returns to Python is beyond
    it: for that the process that watches this one looks at its :class:`~pokeladder.play.embedded.heartbeat.Pulse`.

    Args:
        seconds: the limit of one call.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._deadline: float | None = None
        signal.signal(signal.SIGALRM, self._ring)
        # One timer that keeps ticking: setting one for each call would cost two system calls a decision.
        signal.setitimer(signal.ITIMER_REAL, TICK_SECONDS, TICK_SECONDS)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What ``function`` returns.

        Raises:
            TurnTimeout: it took longer than the limit.
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
    """Awaits ``awaitable``, each of its steps made through ``call(function, argument)``."""
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
