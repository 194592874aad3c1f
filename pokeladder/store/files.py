"""The store's folder: what lies where, and writing to it so that a reader or a crash never sees half of anything.

Layout::

    battles/<run>/<writer>-<number>.parquet        whole battles, never changed once written
    trajectories/<run>/<writer>-<number>.parquet   what is kept of their trajectories besides the documents
    documents/<run>/<writer>-<number>.parquet      the documents, which only single steps and exports need
    server_battles/<run>/<writer>-<number>.parquet what a server said of the battles that were played on it
    points/<run>/<writer>-<number>.parquet         by what perspectives imported battles are known
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
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from pokeladder.errors import StoreError
from pokeladder.scratch import Scratch
from pokeladder.store.rows import AgentVersion, Merge, Run
from pokeladder.store.schemas import (
    FOLDERS,
    MERGE_SCHEMA,
    PLAIN,
    RUN_SCHEMA,
    SCHEMAS,
    SINGLE_FILES,
    VERSION_SCHEMA,
    table_of,
)


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
            "perspective_files": "points",
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
        self._write(table_of([run], RUN_SCHEMA), self.folder / "runs" / f"{run.run_id}.parquet")

    def add_versions(self, versions: Sequence[AgentVersion]) -> None:
        """Adds what decides how the agents of a run play from now on.

        Args:
            versions: of one run.

        Raises:
            StoreError: it could not be written.
        """
        name = f"{versions[0].run_id}.{secrets.token_hex(4)}.parquet"
        self._write(table_of(versions, VERSION_SCHEMA), self.folder / "versions" / name)

    def add_merges(self, merges: Sequence[Merge], name: str) -> None:
        """Says what was merged, or is going to be, in the file ``name`` of the folder ``merges``.

        Raises:
            StoreError: it could not be written.
        """
        self._write(table_of(merges, MERGE_SCHEMA), self.folder / "merges" / name)

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
                pq.write_table(table, file, **PLAIN)
                sync(file)
            _rename(staged, path)
        except BaseException:
            staged.unlink(missing_ok=True)
            raise


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
        pq.write_table(schema.empty_table(), made.folder / f"{name}.parquet", **PLAIN)
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


def sync(file: BinaryIO) -> None:
    """Closes a file; on return its bytes are on the disk."""
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
