"""``pokeladder.duckdb``: the file in the store through which any DuckDB client reads it."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain
from pathlib import Path

import duckdb
from duckdb import ConstantExpression

from pokeladder.errors import StoreError
from pokeladder.query import catalogue, connections
from pokeladder.query.texts import text
from pokeladder.scratch import Scratch

# The oldest format of DuckDB files that can hold pokeladder.duckdb. DuckDB 1.x reads it, too.
STORAGE_VERSION = "v1.0.0"
# Ends the first glob of each source, and matches as "/none.parquet" does. DuckDB shows it where the store is gone.
MOVED = "/none.parque[t - this store was moved or deleted: open it once with pokeladder where it is now]"


def write_database(path: Path, sources: Mapping[str, Sequence[str]]) -> None:
    """Makes the file through which any DuckDB client reads the store, in place of the one there may be.

    The file answers only where it was made: elsewhere, as a copy or in a store that was moved, its views raise an error
    that says what to do (``sql/macros/misplaced.sql``). Beside it lies its seal, by which :func:`database_is_current`
    knows it.

    Raises:
        StoreError: the file cannot be written.
    """
    sources = _resolved(path, sources)
    try:
        # DuckDB cannot write a file in a folder with "?" in its name: it puts the log that goes with it elsewhere.
        with Scratch() as folder:
            made = folder / path.name
            with connections.connect() as connection:
                columns = catalogue.columns_of(connection, sources)
            made.write_bytes(_without_sources(columns))
            with connections.connect(made, storage_compatibility_version=STORAGE_VERSION) as connection:
                # In one transaction: each of its own would be synced by itself.
                connection.execute("BEGIN")
                catalogue.create_sources(connection, sources, _guard(path))
                connection.execute("COMMIT")
            database = made.read_bytes()
        # A log that another client left behind belongs to the old file, and would be replayed into the new one.
        for log in _logs(path):
            log.unlink(missing_ok=True)
        _place(path, database)
        _place(_seal_of(path), _seal(database, sources))
    except (OSError, duckdb.Error) as error:
        raise StoreError(f"cannot write {path}: {error}; make its folder writable, or name another store") from error


def database_is_current(path: Path, sources: Mapping[str, Sequence[str]]) -> bool:
    """Whether ``path`` is, byte for byte, what :func:`write_database` has made, and would make of these files."""
    try:
        return not _logs(path) and _seal_of(path).read_bytes() == _seal(path.read_bytes(), _resolved(path, sources))
    except OSError:
        return False


@cache
def _without_sources(columns: catalogue.Columns) -> bytes:
    """A database file with all views and macros, over empty tables in place of the sources. It takes 0.4 s to make."""
    with Scratch() as folder:
        made = folder / "views.duckdb"
        with connections.connect(made, storage_compatibility_version=STORAGE_VERSION) as connection:
            connection.execute("BEGIN")
            catalogue.create_stand_ins(connection, columns)
            for item in catalogue.VIEWS:
                catalogue.create_item(connection, item)
            catalogue.describe(connection)
            connection.execute("COMMIT")
        return made.read_bytes()


def _resolved(path: Path, sources: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The globs as ``pokeladder.duckdb`` holds them: without symbolic links in the name of the store's folder, as
    DuckDB names the file itself; the first one says why it finds nothing."""
    named, real = (glob.escape(str(folder)) for folder in (path.parent, path.parent.resolve()))
    return {
        view: [
            re.sub(r"/none\.parquet$", MOVED, real + one.removeprefix(named) if one.startswith(named) else one)
            for one in globs
        ]
        for view, globs in sources.items()
    }


def _guard(path: Path) -> str:
    """A condition that fails, with an error, for each copy of the file ``path`` that is attached."""
    place = str(path.parent.resolve() / path.name)
    mark = hashlib.sha256(os.fsencode(place)).hexdigest()
    return f"filename NOT IN (FROM misplaced({ConstantExpression(place)}, '{mark}'))"


def _logs(path: Path) -> list[Path]:
    """What clients that have the file open for writing, or have died, have yet to put into it."""
    return list(path.parent.glob(f"{glob.escape(path.name)}.wal*"))


def _seal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _seal(database: bytes, sources: Mapping[str, Sequence[str]]) -> bytes:
    """Differs when the file, the names of the files that it reads or any text that goes into it does."""
    parts = (STORAGE_VERSION, *chain(*sources.values()), *map(text, catalogue.VIEWS))
    digest = hashlib.sha256("\0".join(parts).encode(errors="surrogateescape"))
    digest.update(b"\0" + database)
    return f"{digest.hexdigest()}\n".encode()


def _place(path: Path, content: bytes) -> None:
    """Writes a file that nobody is to write again, in place of the one there may be."""
    staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        staged.write_bytes(content)
        staged.chmod(0o444)
        staged.rename(path)
    finally:
        staged.unlink(missing_ok=True)
