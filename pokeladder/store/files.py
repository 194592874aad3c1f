"""The store's folder: what lies where, and writing to it so that a reader or a crash never sees half of anything.

Layout::

    battles/<run>/<writer>-<number>.parquet        whole battles, never changed once written
    trajectories/<run>/<writer>-<number>.parquet   what is kept of their trajectories besides the documents
    documents/<run>/<writer>-<number>.parquet      the documents, which only single steps and exports need
    server_battles/<run>/<writer>-<number>.parquet what a server said of the battles that were played on it
    points/<run>/<writer>-<number>.parquet         by what points of view imported battles are known
    runs/<run>.parquet                             one row: what the run was asked to do
    versions/<run>.<session>.parquet               what decided how the run's agents played
    merges/<run>.<merge>.<state>.parquet           which files were merged into which, until the old ones are gone
    merged/<run>.<merge>/                          the old ones, for readers that have listed them
    unfinished/                                    files that are being written
    logs/<run>/                                    what worker processes had to say
    pokeladder.duckdb                              views over the files above, rebuilt when missing or outdated

Files are written elsewhere, synced, and renamed, so that a glob finds whole files only. Of the
files of one batch that of the battles is the last, and a trajectory is shown only beside its battle. What a row calls
its batch and its file of documents are names that stay when files are merged (:mod:`pokeladder.store.compaction`).
"""

from __future__ import annotations

import atexit
import fcntl
import glob
import os
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from pokeladder.errors import StoreError
from pokeladder.records import AgentVersion, Battle, Document, Merge, Point, Run, ServerBattle, Trajectory
from pokeladder.scratch import Scratch

_TIME = pa.timestamp("us", tz="UTC")
_ARROW = {"str": pa.string(), "int": pa.int32(), "datetime": _TIME, "Side": pa.string()}
_ARROW |= {"Kind": pa.string(), "Outcome": pa.string(), "float": pa.float64(), "bool": pa.bool_(), "bytes": pa.binary()}
_ARROW |= {"Digest": pa.int64(), "list[str]": pa.list_(pa.string()), "list[int]": pa.list_(pa.int32())}
# Takes hardly longer than no compression; 5 would leave three quarters of the size, and take twice as long.
DOCUMENT_LEVEL = 3
# Checksums tell a damaged page from a whole one; readers may leave them alone.
_PLAIN: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}


def _schema(record: type) -> pa.Schema:
    """Column types from a dataclass's annotations, which are strings here."""
    columns = []
    for column in fields(record):
        kind, _, optional = str(column.type).partition(" | ")
        columns.append(pa.field(column.name, _ARROW[kind], nullable=bool(optional)))
    return pa.schema(columns)


BATTLE_SCHEMA = _schema(Battle)
RUN_SCHEMA = _schema(Run)
TRAJECTORY_SCHEMA = _schema(Trajectory)
DOCUMENT_SCHEMA = _schema(Document)
POINT_SCHEMA = _schema(Point)
SERVER_BATTLE_SCHEMA = _schema(ServerBattle)
MERGE_SCHEMA = _schema(Merge)
VERSION_SCHEMA = _schema(AgentVersion)
# Those of which a store has a folder for each run.
FOLDERS = {
    "battles": BATTLE_SCHEMA,
    "trajectories": TRAJECTORY_SCHEMA,
    "documents": DOCUMENT_SCHEMA,
    "points": POINT_SCHEMA,
    "server_battles": SERVER_BATTLE_SCHEMA,
}
_COMPRESSION = dict.fromkeys(FOLDERS, _PLAIN)
_COMPRESSION["documents"] = {
    **_PLAIN,
    "compression_level": DOCUMENT_LEVEL,
    "use_dictionary": False,
    "write_statistics": ["trajectory_id"],
    # Documents are large: without the first, pages would not end before 1,024 of them.
    "write_batch_size": 8,
    "data_page_size": 2 << 20,
}
# Those with files of runs side by side.
SINGLE_FILES = {"runs": RUN_SCHEMA, "merges": MERGE_SCHEMA, "versions": VERSION_SCHEMA}
SCHEMAS = {**FOLDERS, **SINGLE_FILES}
# Columns, the last of their kind, that files of version 0.1.0 lack.
ADDED = {"battles": frozenset({"p1_version", "p2_version", "run_seed", "played", "unrecorded"})}


class Store:
    """A store's folder.

    Args:
        create: make the folder if it holds no store yet.

    Raises:
        StoreError: there is no store, or the folder cannot be made or written, or DuckDB cannot read its path.
    """

    def __init__(self, folder: str | os.PathLike[str], *, create: bool = True) -> None:
        self.folder = _checked_path(folder)
        # Empty files in place of those that an older store lacks, if it cannot be written.
        self._lent: Path | None = None
        there_is_one = (self.folder / "battles").is_dir()
        if not create and not there_is_one:
            raise StoreError(
                f"there is no store at {self.folder}: make one with `pokeladder tournament`, "
                "or name another with --store"
            )
        try:
            for name in (*FOLDERS, *SINGLE_FILES, "unfinished", "logs"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            # A glob must match something, and an empty store must know its columns.
            empty = {self.folder / name / "none" / "none.parquet": schema for name, schema in FOLDERS.items()}
            empty |= {self.folder / name / "none.parquet": schema for name, schema in SINGLE_FILES.items()}
            for path, schema in empty.items():
                # A store of an earlier version has fewer columns.
                if not path.exists() or not _has_columns(path, schema):
                    path.parent.mkdir(exist_ok=True)
                    self._write_whole(schema.empty_table(), path)
        except OSError as error:
            if not there_is_one:
                raise StoreError(f"cannot use {self.folder} as a store: {error}; name another with --store") from error
            self._lent = _empty_files()

    @property
    def files(self) -> dict[str, list[str]]:
        """Globs of the files behind the views that all others are made of, by the names of these views.

        The first is of the file that is always there and empty: its columns are the view's, so that a broken file fails
        only the questions about its kind.

        ``**`` passes over symbolic links, which is how a file is taken out of the lists to come, but not away from
        those who have listed it (:mod:`pokeladder.store.compaction`).
        """
        folder = glob.escape(str(self.folder))
        kinds = {
            "battle_files": "battles",
            "trajectory_files": "trajectories",
            "document_files": "documents",
            "point_files": "points",
            "server_battle_files": "server_battles",
        }
        files = {
            **{view: [f"{folder}/{kind}/none/none.parquet", f"{folder}/{kind}/**"] for view, kind in kinds.items()},
            "run_files": [f"{folder}/runs/none.parquet", f"{folder}/runs/*.parquet"],
            "merge_files": [f"{folder}/merges/none.parquet", f"{folder}/merges/**"],
            "version_files": [f"{folder}/versions/none.parquet", f"{folder}/versions/*.parquet"],
        }
        return (
            files
            if self._lent is None
            else self._with_lent(files, {**kinds, **{f"{kind.removesuffix('s')}_files": kind for kind in SINGLE_FILES}})
        )

    def _with_lent(self, files: dict[str, list[str]], kinds: dict[str, str]) -> dict[str, list[str]]:
        """The globs, with lent files for those that are not there, and without the folders that are not."""
        assert self._lent is not None
        completed = {}
        for view, kind in kinds.items():
            empty = f"{kind}/none/none.parquet" if kind in FOLDERS else f"{kind}/none.parquet"
            first, rest = files[view]
            path = self.folder / empty
            if not path.is_file() or not _has_columns(path, SCHEMAS[kind]):
                first = f"{self._lent}/{kind}.parquet"
            completed[view] = [first, *([rest] if (self.folder / kind).is_dir() else [])]
        return completed

    @property
    def database(self) -> Path:
        """The file through which other DuckDB clients read the store."""
        return self.folder / "pokeladder.duckdb"

    def log_folder(self, run_id: str) -> Path:
        folder = self.folder / "logs" / run_id
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self.cannot_write(folder, error) from error
        return folder

    def runs_with_files(self) -> list[str]:
        """The runs that have any file of the :data:`FOLDERS`."""
        folders = {path.name for kind in FOLDERS for path in (self.folder / kind).glob("*")}
        return sorted(folders - {"none"})

    def files_of(self, kind: str, run_id: str) -> list[Path]:
        """A run's files of one of the :data:`FOLDERS` that a query lists."""
        return sorted(path for path in (self.folder / kind / run_id).glob("*.parquet") if not path.is_symlink())

    def spare_files(self) -> int:
        """Files of battles beyond one a run."""
        spare = 0
        with suppress(FileNotFoundError):
            for folder in os.scandir(self.folder / "battles"):
                files = sum(entry.is_file(follow_symlinks=False) for entry in os.scandir(folder))
                spare += max(files - 1, 0)
        return spare

    def add_run(self, run: Run) -> None:
        self._write(_table([run], RUN_SCHEMA), self.folder / "runs" / f"{run.run_id}.parquet")

    def add_versions(self, versions: Sequence[AgentVersion]) -> None:
        """Adds what decides how the agents of a run play from now on.

        Args:
            versions: of one run.

        Raises:
            StoreError: it could not be written.
        """
        name = f"{versions[0].run_id}.{secrets.token_hex(4)}.parquet"
        self._write(_table(versions, VERSION_SCHEMA), self.folder / "versions" / name)

    def add_merges(self, merges: Sequence[Merge], name: str) -> None:
        """Says what was merged, or is going to be, in the file ``name`` of the folder ``merges``.

        Raises:
            StoreError: it could not be written.
        """
        self._write(_table(merges, MERGE_SCHEMA), self.folder / "merges" / name)

    def bytes_of(self, run_id: str) -> int:
        """How much a run's files take on the disk."""
        size = 0
        for name in FOLDERS:
            # A file may be given its name, or go, in between.
            for path in (self.folder / name / run_id).glob("*.parquet"):
                with suppress(FileNotFoundError):
                    size += path.lstat().st_size
        return size

    def lock_run(self, run_id: str) -> FileLock:
        """Holds a run for one process; the system lets go of it when that process dies.

        Raises:
            StoreError: another process is playing this run, or files cannot be locked there.
        """
        lock = FileLock(self.log_folder(run_id) / "run.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise StoreError(f"another process is playing run {run_id}: wait for it, or stop it first") from error
        except (OSError, NotImplementedError) as error:
            raise StoreError(
                f"cannot lock {lock.lock_file}: {error}; play on a file system that can lock files, and copy the store"
            ) from error
        return lock

    def is_held(self, run_id: str) -> bool:
        """Whether a process is playing a run; asked also of a store that cannot be written."""
        return _is_locked(self.folder / "logs" / run_id / "run.lock")

    def is_ingesting(self) -> bool:
        """Whether a process is taking something in."""
        return _is_locked(self.folder / "logs" / "ingest" / "ingest.lock")

    def writer(self, run_id: str) -> Writer:
        return Writer(self, run_id)

    def path(self, kind: str, run_id: str, batch: str) -> Path:
        """Where a batch of a run has its file of one of the :data:`FOLDERS`; makes the folder."""
        folder = self.folder / kind / run_id
        folder.mkdir(exist_ok=True)
        return folder / f"{batch}.parquet"

    def write_table(self, table: pa.Table, kind: str, run_id: str, batch: str) -> None:
        """Writes a batch's file of one kind.

        Raises:
            StoreError: it could not be written.
        """
        self._write(table, self.path(kind, run_id, batch))

    def publish_documents(self, run_id: str, name: str) -> None:
        """Gives a complete file of documents its name.

        Raises:
            StoreError: it could not be renamed.
        """
        self.publish(self.path("documents", run_id, name))

    def publish(self, path: Path) -> None:
        """Gives a complete file its name.

        Raises:
            StoreError: it could not be renamed.
        """
        try:
            _rename(self.staged(path), path)
        except OSError as error:
            raise self.cannot_write(path, error) from error

    def lock_ingest(self) -> FileLock:
        """Holds what no two processes may do at once: each would add what the other does.

        Returns:
            The lock, once no other process has it.
        """
        return FileLock(self.log_folder("ingest") / "ingest.lock")

    def remove_run(self, run_id: str) -> None:
        """Takes all files of a run away, the battles' first; for a run that did not come to be."""
        for name in FOLDERS:
            shutil.rmtree(self.folder / name / run_id, ignore_errors=True)
        for path in (self.folder / "versions").glob(f"{glob.escape(run_id)}.*.parquet"):
            path.unlink(missing_ok=True)
        (self.folder / "runs" / f"{run_id}.parquet").unlink(missing_ok=True)

    def clear_unfinished(self, run_id: str) -> None:
        """Removes files that a process which died was writing; for the one that holds the run's lock."""
        for path in (self.folder / "unfinished").glob(f"*.{glob.escape(run_id)}.*"):
            path.unlink(missing_ok=True)
        self._clear_work(run_id)

    def clear_work(self) -> None:
        """Removes what agents of runs that were killed left in the folders that they had beside the logs."""
        for folder in (self.folder / "logs").iterdir():
            if not self.is_held(folder.name):
                self._clear_work(folder.name)

    def _clear_work(self, run_id: str) -> None:
        for folder in (self.folder / "logs" / run_id).glob("*/"):
            if not folder.is_symlink():
                shutil.rmtree(folder, ignore_errors=True)

    def cannot_write(self, path: Path, error: OSError) -> StoreError:
        return StoreError(f"cannot write {path}: {error}; nothing stored before is lost: make room for it, and go on")

    def staged(self, path: Path) -> Path:
        """Where a file is until it is published, maybe by another process than the one that writes it."""
        return self.folder / "unfinished" / f"{'.'.join(path.relative_to(self.folder).parts)}.tmp"

    def _write(self, table: pa.Table, path: Path) -> None:
        try:
            self._write_whole(table, path)
        except OSError as error:
            raise self.cannot_write(path, error) from error

    def _write_whole(self, table: pa.Table, path: Path) -> None:
        # Two processes may make the same empty file of a new store.
        staged = self.staged(path).with_suffix(f".{os.getpid()}.tmp")
        try:
            with staged.open("wb") as file:
                pq.write_table(table, file, **_PLAIN)
                _sync(file)
            _rename(staged, path)
        except BaseException:
            staged.unlink(missing_ok=True)
            raise


class Writer:
    """Adds battles of one run with their trajectories, in batches that are whole or not there.

    Attributes:
        batch: name of the batch that is being made: that of its files.
    """

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._name = secrets.token_hex(4)
        self._written = 0
        self._documents: DocumentFile | None = None

    @property
    def batch(self) -> str:
        return f"{self._name}-{self._written:06d}"

    def add_documents(self, trajectory_ids: Sequence[str], documents: pa.Array) -> None:
        """Puts documents of the batch aside on disk; they count once :meth:`write` has returned.

        Raises:
            StoreError: they could not be written.
        """
        if self._documents is None:
            self._documents = DocumentFile(self._store, self._run_id, self.batch)
        try:
            self._documents.append(trajectory_ids, documents)
        except StoreError:
            self._documents = None
            raise

    def write(
        self,
        battles: Sequence[Battle],
        trajectories: pa.Table | None = None,
        server_battles: Sequence[ServerBattle] = (),
    ) -> None:
        """On return the batch is on disk (synced) and visible to readers.

        Raises:
            StoreError: a file could not be written; the batch is not in the store.
        """
        if not battles:
            return
        if self._documents is not None:
            self._documents.publish()
            self._documents = None
        if trajectories is not None:
            self._store.write_table(trajectories.cast(TRAJECTORY_SCHEMA), "trajectories", self._run_id, self.batch)
        if server_battles:
            table = _table(server_battles, SERVER_BATTLE_SCHEMA)
            self._store.write_table(table, "server_battles", self._run_id, self.batch)
        self._store.write_table(_table(battles, BATTLE_SCHEMA), "battles", self._run_id, self.batch)
        self._written += 1

    def drop_documents(self) -> None:
        """Drops what was put aside and not written."""
        if self._documents is not None:
            self._documents.discard()
            self._documents = None


class StagedFile:
    """A Parquet file on its way to the store: readers see it once it is published.

    Args:
        kind: one of the :data:`FOLDERS`.
        name: of the file, without its suffix.

    Attributes:
        path: where it will be.
    """

    def __init__(self, store: Store, kind: str, run_id: str, name: str) -> None:
        self._store = store
        self.name = name
        self.path = store.path(kind, run_id, name)
        self._staged = store.staged(self.path)
        try:
            self._file = self._staged.open("wb")
        except OSError as error:
            raise store.cannot_write(self.path, error) from error
        self._parquet = pq.ParquetWriter(self._file, FOLDERS[kind], **_COMPRESSION[kind])

    def write(self, table: pa.Table) -> None:
        """Writes a row group.

        Raises:
            StoreError: the disk is full, say.
        """
        try:
            self._parquet.write_table(table)
        except OSError as error:
            self.discard()
            raise self._store.cannot_write(self.path, error) from error

    def complete(self) -> None:
        """On return the whole file is on disk (synced), under another name.

        Raises:
            StoreError: it could not be written.
        """
        try:
            self._parquet.close()
            _sync(self._file)
        except OSError as error:
            self.discard()
            raise self._store.cannot_write(self.path, error) from error

    def publish(self) -> None:
        """On return the file is on disk (synced) under its name.

        Raises:
            StoreError: it could not be written.
        """
        self.complete()
        self._store.publish(self.path)

    def discard(self) -> None:
        """Removes the file that is not published."""
        # Left open, the writer would complain when it is forgotten.
        for open_file in (self._parquet, self._file):
            with suppress(OSError, ValueError):
                open_file.close()
        self._staged.unlink(missing_ok=True)


class DocumentFile(StagedFile):
    """Documents on their way to the store; their rows say which file they are in."""

    def __init__(self, store: Store, run_id: str, name: str) -> None:
        super().__init__(store, "documents", run_id, name)

    def append(self, trajectory_ids: Sequence[str], documents: pa.Array) -> None:
        """Writes a row group.

        Raises:
            StoreError: the disk is full, say.
        """
        names = [self.name] * len(documents)
        columns = [pa.array(trajectory_ids, pa.string()), pa.array(names, pa.string()), documents]
        self.write(pa.table(columns, schema=DOCUMENT_SCHEMA))


def conformed(table: pa.Table, kind: str) -> pa.Table:
    """The rows of a file of this version or an earlier one, with all columns of this version.

    Args:
        kind: one of the :data:`FOLDERS` or :data:`SINGLE_FILES`.

    Raises:
        pa.ArrowInvalid: the columns are those of no version.
    """
    schema = SCHEMAS[kind]
    for name in schema.names:
        if name in ADDED.get(kind, ()) and name not in table.column_names:
            table = table.append_column(schema.field(name), pa.nulls(len(table), schema.field(name).type))
    if not table.schema.equals(schema):
        raise pa.ArrowInvalid(f"its columns are not those of {kind}")
    return table


def _has_columns(path: Path, schema: pa.Schema) -> bool:
    """Whether a file that may be broken, and then stays for ``check``, lacks none of the columns."""
    try:
        return set(schema.names) <= set(pq.read_schema(path).names)
    except (OSError, pa.ArrowException):
        return True


@cache
def _empty_files() -> Path:
    """A folder with an empty file of each kind, which goes when the process ends: relations outlive their store."""
    made = Scratch()
    atexit.register(made.close)
    for name, schema in SCHEMAS.items():
        pq.write_table(schema.empty_table(), made.folder / f"{name}.parquet", **_PLAIN)
    return made.folder


def _checked_path(folder: str | os.PathLike[str]) -> Path:
    """The absolute path of a store.

    Raises:
        StoreError: DuckDB cannot read what lies there.
    """
    try:
        path = Path(folder).absolute()
        path.exists()
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot use {folder!s} as a store: {error}; name another with --store") from error
    text = str(path)
    if "\\" in text:
        why = "has a backslash"
    elif not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        why = "is not UTF-8"
    else:
        return path
    raise StoreError(f"the store's path {text} {why}, and DuckDB cannot read such paths: rename the folder")


def _is_locked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def new_run_id(started_at: datetime) -> str:
    """An id that sorts by time and that no other process picks."""
    return f"{started_at:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _table(records: Sequence[Any], schema: pa.Schema) -> pa.Table:
    arrays = [pa.array([getattr(record, field.name) for record in records], field.type) for field in schema]
    return pa.table(arrays, schema=schema)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()


def _rename(staged: Path, path: Path) -> None:
    """Gives a file that is synced its name for good."""
    staged.rename(path)
    parent = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
