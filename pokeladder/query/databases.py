"""DuckDB databases of this process with bounded memory, which spill to disk."""

from __future__ import annotations

import os
import secrets
import tempfile
from atexit import register
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import duckdb

from pokeladder.query import connections
from pokeladder.system.interrupts import interruptible
from pokeladder.system.scratch import Scratch

# Memory of one database; sorts and joins spill to disk beyond it. Half of it is enough for 10 million battles.
MEMORY_BYTES = 800_000_000
# More threads would have too little memory each.
THREADS = 8


def new(*, bounded: bool = True) -> duckdb.DuckDBPyConnection:
    """A connection to a new database in memory.

    Args:
        bounded: limit the memory to :data:`MEMORY_BYTES`; DuckDB's default is four fifths of the machine's memory.
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
    """A bounded database with tables on disk, which are removed with the object.

    Attributes:
        connection: a connection to the database.
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
    """The folder to which databases of this process spill; it is removed when the process ends."""
    scratch = Scratch()
    register(scratch.close)
    return scratch.folder
