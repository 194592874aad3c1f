"""The store's folder: paths, locks, and atomic writes of single files.

Layout::

    battles/<run>/<writer>-<number>.parquet        whole battles, never changed once written
    trajectories/<run>/<writer>-<number>.parquet   summaries of their trajectories
    documents/<run>/<writer>-<number>.parquet      documents of the trajectories, read for steps and exports only
    server_battles/<run>/<writer>-<number>.parquet logs of the battles that were played on a server
    points/<run>/<writer>-<number>.parquet         perspectives by which imported battles are known
    runs/<run>.parquet                             one row: the settings of the run
    versions/<run>.<session>.parquet               versions of the run's agents
    merges/<run>.<merge>.<state>.parquet           files that were merged, until the old ones are removed
    merged/<run>.<merge>/                          the old files, for readers that have listed them
    unfinished/                                    files that are being written
    logs/<run>/                                    logs of worker processes
    pokeladder.duckdb                              views over these files, made anew when missing or outdated

Files are written under ``unfinished/``, synced and renamed, so that a glob finds complete files only. The battles' file
of a batch is published last, and views leave out trajectories without their battle. The columns ``batch`` and
``document_file`` keep the names of the first files when files are merged (:mod:`pokeladder.store.merging`).
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
from typing import TYPE_CHECKING, Any, BinaryIO

from filelock import FileLock, Timeout

from pokeladder.errors import StoreError, UsageError
from pokeladder.store.rows import FOLDERS, SINGLE_FILES, AgentVersion, Merge, Run
from pokeladder.system.scratch import Scratch

DATABASE = "pokeladder.duckdb"
# Folders whose files queries or `check` read.
OWN = frozenset({*FOLDERS, *SINGLE_FILES, "merged", "unfinished", "logs"})
# Longest delay between listing files and opening the last of them, in seconds.
GRACE_SECONDS = 600.0

# Arrow is imported where files are written: a question to a store takes a third less time without it.
if TYPE_CHECKING:
    import pyarrow as pa


class Store:
    """The folder of a store.

    Args:
        create: make the store if there is none.

    Raises:
        StoreError: there is no store, the folder cannot be made or written, or DuckDB cannot read its path.
    """

    def __init__(self, folder: str | os.PathLike[str], *, create: bool = True) -> None:
        self.folder = _checked_path(folder)
        # A folder with the empty files that an older store lacks, if the store cannot be written.
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
            for kind, path in self._empty_files().items():
                if not path.exists():
                    self._write_empty(kind, path)
        except OSError as error:
            if not there_is_one:
                raise StoreError(f"cannot use {self.folder} as a store: {error}; name another with --store") from error
            self._lent = _lent_files()

    def complete(self) -> None:
        """Gives the empty files of a store of an earlier version the columns that they lack.

        Not needed if ``pokeladder.duckdb`` is current: its views have the columns of this version.
        """
        try:
            for kind, path in self._empty_files().items():
                if not _has_columns(path, kind):
                    self._write_empty(kind, path)
        except OSError:
            self._lent = _lent_files()

    def _empty_files(self) -> dict[str, Path]:
        """An empty file of each kind: a glob must match a file, and an empty store must have columns."""
        paths = {kind: self.folder / kind / "none" / "none.parquet" for kind in FOLDERS}
        return paths | {kind: self.folder / kind / "none.parquet" for kind in SINGLE_FILES}

    def _write_empty(self, kind: str, path: Path) -> None:
        from pokeladder.store.schemas import SCHEMAS

        path.parent.mkdir(exist_ok=True)
        self._write_whole(SCHEMAS[kind].empty_table(), path)

    @property
    def files(self) -> dict[str, list[str]]:
        """The sources: globs of files, by the name of the view that reads them.

        The first glob is that of an empty file, whose columns the view has: a broken file breaks only queries about its
        kind. ``**`` skips symbolic links, which replace files that later queries must not read
        (:mod:`pokeladder.store.merging`).
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
        """The globs with substitutes for missing empty files, and without missing folders."""
        assert self._lent is not None
        completed = {}
        empty = self._empty_files()
        for view, kind in kinds.items():
            first, rest = files[view]
            if not empty[kind].is_file() or not _has_columns(empty[kind], kind):
                first = f"{self._lent}/{kind}.parquet"
            completed[view] = [first, *([rest] if (self.folder / kind).is_dir() else [])]
        return completed

    @property
    def database(self) -> Path:
        """Path of the file through which other DuckDB clients read the store."""
        return self.folder / DATABASE

    def log_folder(self, run_id: str) -> Path:
        folder = self.folder / "logs" / run_id
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self.cannot_write(folder, error) from error
        return folder

    def runs_with_files(self) -> list[str]:
        """The runs that have files in :data:`~pokeladder.store.rows.FOLDERS`."""
        folders = {path.name for kind in FOLDERS for path in (self.folder / kind).glob("*")}
        return sorted(folders - {"none"})

    def files_of(self, kind: str, run_id: str) -> list[Path]:
        """A run's files of one kind, those that queries list."""
        return sorted(path for path in (self.folder / kind / run_id).glob("*.parquet") if not path.is_symlink())

    def spare_files(self) -> int:
        """Number of files of battles beyond one a run."""
        spare = 0
        with suppress(FileNotFoundError):
            for folder in filter(os.DirEntry.is_dir, os.scandir(self.folder / "battles")):
                files = sum(entry.is_file(follow_symlinks=False) for entry in os.scandir(folder))
                spare += max(files - 1, 0)
        return spare

    def add_run(self, run: Run) -> None:
        self._write_rows([run], "runs", f"{run.run_id}.parquet")

    def add_versions(self, versions: Sequence[AgentVersion]) -> None:
        """Adds versions of the agents of one run.

        Raises:
            StoreError: the file could not be written.
        """
        self._write_rows(versions, "versions", f"{versions[0].run_id}.{secrets.token_hex(4)}.parquet")

    def add_merges(self, merges: Sequence[Merge], name: str) -> None:
        """Writes the file ``name`` of the folder ``merges``.

        Raises:
            StoreError: the file could not be written.
        """
        self._write_rows(merges, "merges", name)

    def bytes_of(self, run_id: str) -> int:
        """Size of a run's files in bytes."""
        size = 0
        for name in FOLDERS:
            # Files may be renamed or removed meanwhile.
            for path in (self.folder / name / run_id).glob("*.parquet"):
                with suppress(FileNotFoundError):
                    size += path.lstat().st_size
        return size

    def lock_run(self, run_id: str) -> FileLock:
        """Locks a run for this process; the system releases the lock when the process dies.

        Raises:
            StoreError: another process is playing this run, or the file system has no locks.
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
        """Whether a process is playing a run; works for read-only stores, too."""
        return _is_locked(self.folder / "logs" / run_id / "run.lock")

    def is_ingesting(self) -> bool:
        """Whether a process is ingesting."""
        return _is_locked(self.folder / "logs" / "ingest" / "ingest.lock")

    def path(self, kind: str, run_id: str, batch: str) -> Path:
        """Path of a batch's file of one kind; makes the folder."""
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
        """Publishes a complete file of documents.

        Raises:
            StoreError: it could not be renamed.
        """
        self.publish(self.path("documents", run_id, name))

    def publish(self, path: Path) -> None:
        """Publishes a complete file.

        Raises:
            StoreError: it could not be renamed.
        """
        try:
            _rename(self.staged(path), path)
        except OSError as error:
            raise self.cannot_write(path, error) from error

    def lock_ingest(self) -> FileLock:
        """The lock of ingests, of which only one may run at a time: two would add the same battles.

        Returns:
            The lock, not yet acquired.
        """
        return FileLock(self.log_folder("ingest") / "ingest.lock")

    def remove_run(self, run_id: str) -> None:
        """Removes all files of a run that was not completed, the battles' first."""
        for name in FOLDERS:
            shutil.rmtree(self.folder / name / run_id, ignore_errors=True)
        for path in (self.folder / "versions").glob(f"{glob.escape(run_id)}.*.parquet"):
            path.unlink(missing_ok=True)
        (self.folder / "runs" / f"{run_id}.parquet").unlink(missing_ok=True)

    def clear_unfinished(self, run_id: str) -> None:
        """Removes unfinished files of a killed process; the caller must hold the run's lock."""
        for path in (self.folder / "unfinished").glob(f"*.{glob.escape(run_id)}.*"):
            path.unlink(missing_ok=True)
        self._clear_work(run_id)

    def clear_work(self) -> None:
        """Removes the working folders of agents of killed runs."""
        for folder in (self.folder / "logs").iterdir():
            if not self.is_held(folder.name):
                self._clear_work(folder.name)

    def _clear_work(self, run_id: str) -> None:
        for folder in (self.folder / "logs" / run_id).glob("*/"):
            if not folder.is_symlink():
                shutil.rmtree(folder, ignore_errors=True)

    def cannot_write(self, path: Path, error: OSError) -> StoreError:
        return StoreError(f"cannot write {path}: {error}; no stored battle is lost: make room, and continue")

    def staged(self, path: Path) -> Path:
        """Path of a file until it is published, which another process than its writer may do."""
        return self.folder / "unfinished" / f"{'.'.join(path.relative_to(self.folder).parts)}.tmp"

    def _write_rows(self, rows: Sequence[Any], kind: str, name: str) -> None:
        from pokeladder.store.schemas import SCHEMAS, table_of

        self._write(table_of(rows, SCHEMAS[kind]), self.folder / kind / name)

    def _write(self, table: pa.Table, path: Path) -> None:
        try:
            self._write_whole(table, path)
        except OSError as error:
            raise self.cannot_write(path, error) from error

    def _write_whole(self, table: pa.Table, path: Path) -> None:
        from pyarrow import parquet as pq

        from pokeladder.store.schemas import PLAIN

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


def _has_columns(path: Path, kind: str) -> bool:
    """Whether a file has all columns of its kind; True for a broken file, which ``check`` reports."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    from pokeladder.store.schemas import SCHEMAS

    try:
        return set(SCHEMAS[kind].names) <= set(pq.read_schema(path).names)
    except (OSError, pa.ArrowException):
        return True


@cache
def _lent_files() -> Path:
    """A temporary folder with an empty file of each kind. It stays until the process ends, since relations use it."""
    from pyarrow import parquet as pq

    from pokeladder.store.schemas import PLAIN, SCHEMAS

    made = Scratch()
    atexit.register(made.close)
    for name, schema in SCHEMAS.items():
        pq.write_table(schema.empty_table(), made.folder / f"{name}.parquet", **PLAIN)
    return made.folder


def _checked_path(folder: str | os.PathLike[str]) -> Path:
    """The absolute path of a store.

    Raises:
        StoreError: DuckDB cannot read files under this path.
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
    """A new id of a run: date, time and four random hexadecimal digits."""
    return f"{started_at:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def checked_output(path: str | os.PathLike[str]) -> Path:
    """``path``, to which files are to be written that do not belong to a store.

    Raises:
        UsageError: it lies in a folder of a store, of which queries would read it.
    """
    output = Path(path)
    # Where the path cannot be resolved, whoever writes there tells why.
    with suppress(OSError, RuntimeError, ValueError):
        resolved = output.resolve()
        for folder in (resolved, *resolved.parents):
            if folder.name in OWN and (folder.parent / DATABASE).exists():
                raise UsageError(f"{output} is in {folder}, which has the files of a store: name another folder")
    return output


def sync(file: BinaryIO) -> None:
    """Closes a file; on return its bytes are on the disk."""
    file.flush()
    os.fsync(file.fileno())
    file.close()


def _rename(staged: Path, path: Path) -> None:
    """Renames a synced file; on return the new name survives a crash of the machine."""
    staged.rename(path)
    parent = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
