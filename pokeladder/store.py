"""The store's folder: what lies where, and writing to it so that a reader or a crash never sees half of anything.

Layout::

    battles/<run>/<writer>-<number>.parquet   whole battles, never changed once written
    runs/<run>.parquet                        one row: what the run was asked to do
    logs/<run>/                               what worker processes had to say
    pokeladder.duckdb                         views over the files above, rebuilt when missing or outdated

Files are written under another name, synced, and renamed, so a glob for ``*.parquet`` finds whole files only.
"""

from __future__ import annotations

import glob
import os
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from pokeladder.errors import StoreError
from pokeladder.records import Battle, Run

_TIME = pa.timestamp("us", tz="UTC")
_ARROW = {"str": pa.string(), "int": pa.int32(), "datetime": _TIME, "Side": pa.string()}
_ARROW |= {"Kind": pa.string(), "Outcome": pa.string()}


def _schema(record: type) -> pa.Schema:
    """Column types from a dataclass's annotations, which are strings here."""
    columns = []
    for column in fields(record):
        kind, _, optional = str(column.type).partition(" | ")
        columns.append(pa.field(column.name, _ARROW[kind], nullable=bool(optional)))
    return pa.schema(columns)


BATTLE_SCHEMA = _schema(Battle)
RUN_SCHEMA = _schema(Run)


class Store:
    """A store's folder.

    Args:
        create: make the folder if it holds no store yet.

    Raises:
        StoreError: there is no store, or the folder cannot be made or written.
    """

    def __init__(self, folder: str | os.PathLike[str], *, create: bool = True) -> None:
        self.folder = Path(folder).absolute()
        if not create and not (self.folder / "battles").is_dir():
            raise StoreError(
                f"there is no store at {self.folder}: make one with `pokeladder tournament`, "
                "or name another with --store"
            )
        try:
            for name in ("battles", "runs", "logs"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            # A glob must match something, and an empty store must know its columns.
            for schema, path in (
                (BATTLE_SCHEMA, self.folder / "battles" / "none" / "none.parquet"),
                (RUN_SCHEMA, self.folder / "runs" / "none.parquet"),
            ):
                if not path.exists():
                    path.parent.mkdir(exist_ok=True)
                    _write(schema.empty_table(), path)
        except OSError as error:
            raise StoreError(f"cannot use {self.folder} as a store: {error}; name another with --store") from error

    @property
    def battle_files(self) -> str:
        """Glob of the files behind ``battles``."""
        return f"{glob.escape(str(self.folder))}/battles/*/*.parquet"

    @property
    def run_files(self) -> str:
        """Glob of the files behind ``runs``."""
        return f"{glob.escape(str(self.folder))}/runs/*.parquet"

    @property
    def database(self) -> Path:
        """The file through which other DuckDB clients read the store."""
        return self.folder / "pokeladder.duckdb"

    def log_folder(self, run_id: str) -> Path:
        folder = self.folder / "logs" / run_id
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def add_run(self, run: Run) -> None:
        self._write(_table([run], RUN_SCHEMA), self.folder / "runs" / f"{run.run_id}.parquet")

    def lock_run(self, run_id: str) -> FileLock:
        """Holds a run for one process; the system lets go of it when that process dies.

        Raises:
            StoreError: another process is playing this run.
        """
        lock = FileLock(self.log_folder(run_id) / "run.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise StoreError(f"another process is playing run {run_id}: wait for it, or stop it first") from error
        return lock

    def writer(self, run_id: str) -> Writer:
        return Writer(self, run_id)

    def _write(self, table: pa.Table, path: Path) -> None:
        try:
            _write(table, path)
        except OSError as error:
            raise StoreError(
                f"cannot write {path}: {error}; nothing stored before is lost: make room for it, and --resume"
            ) from error


class Writer:
    """Adds battles of one run, each call as one file that is whole or not there."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._folder = store.folder / "battles" / run_id
        self._folder.mkdir(parents=True, exist_ok=True)
        self._name = secrets.token_hex(4)
        self._written = 0

    def write(self, battles: Sequence[Battle]) -> None:
        """On return the battles are on disk (synced) and visible to readers.

        Raises:
            StoreError: the file could not be written; the battles are not in the store.
        """
        if not battles:
            return
        path = self._folder / f"{self._name}-{self._written:06d}.parquet"
        self._store._write(_table(battles, BATTLE_SCHEMA), path)
        self._written += 1


def new_run_id(started_at: datetime) -> str:
    """An id that sorts by time and that no other process picks."""
    return f"{started_at:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _table(records: Iterable[Any], schema: pa.Schema) -> pa.Table:
    columns = zip(*(astuple(record) for record in records), strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.table(arrays, schema=schema)


def _write(table: pa.Table, path: Path) -> None:
    staged = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with staged.open("wb") as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        staged.rename(path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    parent = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
