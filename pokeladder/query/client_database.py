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
from pokeladder.system.scratch import Scratch

# The oldest format of DuckDB files that can hold pokeladder.duckdb. DuckDB 1.x reads it, too.
STORAGE_VERSION = "v1.0.0"
# The end of the first glob of each source, which matches "/none.parquet". DuckDB shows it when the store was moved.
MOVED = "/none.parque[t - this store was moved or deleted: open it once with pokeladder where it is now]"


def write_database(path: Path, sources: Mapping[str, Sequence[str]]) -> None:
    """Makes the file through which any DuckDB client reads the store, or replaces it.

    In a copied or moved store the views of the file raise an error with a remedy (``sql/macros/misplaced.sql``). A seal
    beside the file lets :func:`database_is_current` recognise it.

    Raises:
        StoreError: the file cannot be written.
    """
    sources = _resolved(path, sources)
    try:
        # Made elsewhere, since DuckDB misplaces the log of a file in a folder with "?" in its name.
        with Scratch() as folder:
            made = folder / path.name
            made.write_bytes(_without_sources(catalogue.columns_of(sources)))
            with connections.connect(made, storage_compatibility_version=STORAGE_VERSION) as connection:
                # In one transaction, since each transaction is synced.
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
    """A database file with all views and macros over stand-ins of the sources; making it takes 0.4 s."""
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
    """The globs that ``pokeladder.duckdb`` contains.

    They have no symbolic links in the path of the store, and a text that DuckDB shows if the store was moved.
    """
    named, real = (glob.escape(str(folder)) for folder in (path.parent, path.parent.resolve()))
    return {
        view: [
            re.sub(r"/none\.parquet$", MOVED, real + one.removeprefix(named) if one.startswith(named) else one)
            for one in globs
        ]
        for view, globs in sources.items()
    }


def _guard(path: Path) -> str:
    """A condition that raises an error if a copy of the file ``path`` is attached."""
    place = str(path.parent.resolve() / path.name)
    mark = hashlib.sha256(os.fsencode(place)).hexdigest()
    return f"filename NOT IN (FROM misplaced({ConstantExpression(place)}, '{mark}'))"


def _logs(path: Path) -> list[Path]:
    """The file's write-ahead logs, of clients that are writing or were killed."""
    return list(path.parent.glob(f"{glob.escape(path.name)}.wal*"))


def _seal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _seal(database: bytes, sources: Mapping[str, Sequence[str]]) -> bytes:
    """A digest of the file, the globs and the texts of all items."""
    parts = (STORAGE_VERSION, *chain(*sources.values()), *map(text, catalogue.VIEWS))
    digest = hashlib.sha256("\0".join(parts).encode(errors="surrogateescape"))
    digest.update(b"\0" + database)
    return f"{digest.hexdigest()}\n".encode()


def _place(path: Path, content: bytes) -> None:
    """Writes a read-only file, or replaces one."""
    staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        staged.write_bytes(content)
        staged.chmod(0o444)
        staged.rename(path)
    finally:
        staged.unlink(missing_ok=True)
