"""Ending running queries, and blocks that signals must not interrupt."""

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
    """An object whose query another thread can end, such as a DuckDB connection."""

    def interrupt(self) -> None:
        """Ends the running query, if there is one."""


_Connection = TypeVar("_Connection", bound=Interruptible)
_connections: WeakSet[Interruptible] = WeakSet()


def interruptible(connection: _Connection) -> _Connection:
    """Registers a connection with :func:`interrupt_queries`, and returns it."""
    _connections.add(connection)
    return connection


def interrupt_queries() -> None:
    """Ends the queries of all :func:`interruptible` connections; any thread may call it."""
    # A set that grows during the iteration raises; the next call sees the new connections.
    with suppress(RuntimeError):
        for connection in list(_connections):
            # A closed connection raises.
            with suppress(Exception):
                connection.interrupt()


@contextmanager
def deferred() -> Iterator[None]:
    """Delays signals that raise an exception in the main thread, such as Ctrl-C, to the end of the block."""
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
