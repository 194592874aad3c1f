"""DuckDB databases of this process that take a bounded part of the memory, and put the rest aside on disk."""

from __future__ import annotations

import os
import secrets
import tempfile
from atexit import register
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import duckdb

from pokeladder.interrupts import interruptible
from pokeladder.query import connections
from pokeladder.scratch import Scratch

# Of one question: what sorts and joins need beyond it goes to disk. On 10 million battles they work with half of it.
MEMORY_BYTES = 800_000_000
# With more threads that would be too little for each.
THREADS = 8


def new(*, bounded: bool = True) -> duckdb.DuckDBPyConnection:
    """A connection to a new database in memory.

    Args:
        bounded: answers take :data:`MEMORY_BYTES` at most, else DuckDB's default, four fifths of the machine's memory.
    """
    name = f":memory:pokeladder-{secrets.token_hex(8)}"
    connection = _set_up(_connect(name), bounded=bounded)
    connection.execute("SET VARIABLE pokeladder_database = $name", {"name": name})
    return connection


def again(connection: duckdb.DuckDBPyConnection) -> Callable[[], duckdb.DuckDBPyConnection]:
    """A function that makes further connections to the database of one of :func:`new`, while one is open."""
    ((name,),) = connection.sql("SELECT getvariable('pokeladder_database')").fetchall()
    return partial(_connect, name)


class OnDisk:
    """A bounded database whose tables are on disk, compressed; its files go with the object.

    Attributes:
        connection: to it.
    """

    def __init__(self) -> None:
        self._home = tempfile.TemporaryDirectory(dir=_folder(), ignore_cleanup_errors=True)
        self.connection = _set_up(_connect(Path(self._home.name) / "tables.duckdb"), bounded=True)


def _connect(database: str | Path) -> duckdb.DuckDBPyConnection:
    return interruptible(connections.connect(database))


def _set_up(connection: duckdb.DuckDBPyConnection, *, bounded: bool) -> duckdb.DuckDBPyConnection:
    settings: dict[str, object] = {"temp_directory": str(_folder() / secrets.token_hex(4))}
    if bounded:
        settings |= {"memory_limit": f"{MEMORY_BYTES}B", "threads": min(THREADS, os.cpu_count() or 1)}
    for setting, value in settings.items():
        connection.execute(f"SET {setting} = $value", {"value": value})
    return connection


@cache
def _folder() -> Path:
    """Where databases of this process put aside what exceeds the memory. The process removes it at its end."""
    scratch = Scratch()
    register(scratch.close)
    return scratch.folder
