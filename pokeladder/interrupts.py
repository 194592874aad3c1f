"""Ending queries that are under way, and keeping what must not be cut in two together."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol, TypeVar
from weakref import WeakSet

# The signals that end a command.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruptible(Protocol):
    """Has a query that another thread can end, as a DuckDB connection does."""

    def interrupt(self) -> None:
        """Ends the query; nothing happens if there is none."""


_Connection = TypeVar("_Connection", bound=Interruptible)
_connections: WeakSet[Interruptible] = WeakSet()


def interruptible(connection: _Connection) -> _Connection:
    """The connection, whose queries :func:`interrupt_queries` ends from now on."""
    _connections.add(connection)
    return connection


def interrupt_queries() -> None:
    """Ends the queries of all connections that are :func:`interruptible`; can be called from any thread."""
    # The set may grow meanwhile, which the next call takes in.
    with suppress(RuntimeError):
        for connection in list(_connections):
            # A connection that is closed has no query to end, and raises.
            with suppress(Exception):
                connection.interrupt()


@contextmanager
def deferred() -> Iterator[None]:
    """Has signals that raise an exception in the main thread, as Ctrl-C does, wait until the block has ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    handlers = {number: handler for number in ENDING if callable(handler := signal.getsignal(number))}
    try:
        for number in handlers:
            signal.signal(number, lambda number, _: arrived.append(number))
        yield
    finally:
        for number, handler in reversed(handlers.items()):
            signal.signal(number, handler)
        if arrived:
            signal.raise_signal(arrived[0])
