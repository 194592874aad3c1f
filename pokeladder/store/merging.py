"""Merging a run's small files into a few large ones, while readers read.

Readers hold no lock. They see from the folder ``merges`` which files to use (``sql/macros/current_rows.sql``):

1. A plan is published. Readers do not use the new files, none of which exists yet.
2. The new files are published.
3. :data:`SETTLE_SECONDS` later the plan is published as done. From then on readers use the new files, not the old ones.
4. The old files are unlisted: each is moved, and a symbolic link takes its place. A query that has listed the file
   follows the link, and later queries do not list links.
5. After a grace period the old files are removed, then the plan is unlisted in the same way, then the done one.

A process may be killed between any two steps: the next process that locks the run continues. Rows are not changed:
``batch`` and ``document_file`` still name the files that rows were first written to.
"""

from __future__ import annotations

import glob
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pokeladder.errors import StoreError
from pokeladder.progress import FileCounter
from pokeladder.store.files import Store
from pokeladder.store.rows import FOLDERS, Merge
from pokeladder.store.schemas import conformed
from pokeladder.store.staging import StagedFile

# Files of this size or larger are not merged.
LARGE_BYTES = 64 << 20
# Size of row groups before compression. Those of documents are smaller, since often few documents are read.
GROUP_BYTES = 32 << 20
DOCUMENT_GROUP_BYTES = 8 << 20
# Longest delay between listing files and reading ``merges/``, in seconds.
SETTLE_SECONDS = 5.0


@dataclass
class Compacted:
    """The result of a compaction.

    Attributes:
        merged, made: number of old files that were merged, and of new files.
        removed: number of old files of earlier compactions that were removed.
        kept, kept_bytes: number of old files that stay for readers, and their size.
        kept_seconds: time for which the last of them stays.
        skipped: runs that were not compacted, with reasons.
        broken: error of each file that cannot be read; its run was not compacted.
    """

    merged: int = 0
    made: int = 0
    removed: int = 0
    kept: int = 0
    kept_bytes: int = 0
    kept_seconds: float = 0.0
    skipped: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


class StoppedError(Exception):
    """A compaction was stopped; no battle is lost, and the next one continues."""


class UnreadableError(StoreError):
    """A file to merge is broken."""


class RunMerges:
    """The small files of a run, and the state of its merges.

    Attributes:
        waiting: by merge, its new files that readers do not use yet.
        files: number of files that :meth:`merge` would merge.
    """

    def __init__(self, store: Store, run_id: str, grace: float, at_least: int = 2, at_most: int | None = None) -> None:
        self.run_id = run_id
        self._store = store
        self._grace = grace
        self.records = sorted((store.folder / "merges").glob(f"{glob.escape(run_id)}.*.parquet"))
        self.waiting: dict[str, list[Merge]] = {}
        hidden = set()
        for record in self.records:
            if record.is_symlink():
                continue
            merges = _merges(record)
            if record.name.endswith(".planned.parquet") and not _done(record).exists():
                merges = [merge for merge in merges if (store.folder / merge.merged).exists()]
                self.waiting[_name(record)] = merges
            hidden |= {store.folder / merge.file for merge in merges}
        self._groups = [
            (kind, group)
            for kind in FOLDERS
            for group in _grouped([path for path in store.files_of(kind, run_id) if path not in hidden], at_least)
            if at_most is None or sum(path.stat().st_size for path in group) <= at_most
        ]
        self.files = sum(len(group) for _, group in self._groups)

    @property
    def is_settled(self) -> bool:
        """Whether every query that did not list the new files has read the folder ``merges``."""
        paths = [self._record(name, "planned") for name in self.waiting]
        paths += [self._store.folder / merge.merged for merges in self.waiting.values() for merge in merges]
        # Renaming changes the time of a file's status.
        return all(time.time() - path.stat().st_ctime >= SETTLE_SECONDS for path in paths)

    @property
    def is_ingested(self) -> bool:
        return any(path.name.startswith("ingest-") for _, group in self._groups for path in group)

    def clean(self, compacted: Compacted) -> None:
        """Removes files that no query can use any more, and remains of killed processes."""
        try:
            unfinished = self._store.folder / "unfinished"
            for pattern in (f"*.{glob.escape(self.run_id)}.merged-*", f"merges.{glob.escape(self.run_id)}.*"):
                for path in unfinished.glob(pattern):
                    path.unlink(missing_ok=True)
            for name, merges in list(self.waiting.items()):
                if not merges:
                    del self.waiting[name]
                    self._unlist(self._record(name, "planned"), name)
            for record in self.records:
                if record.name.endswith(".done.parquet"):
                    self._clean(record, compacted)
                elif record.is_symlink() and not os.path.lexists(_done(record)):
                    self._forget(record, _name(record))
        except OSError as error:
            raise self._store.cannot_write(self._store.folder, error) from error

    def _clean(self, done: Path, compacted: Compacted) -> None:
        name = _name(done)
        planned = self._record(name, "planned")
        if done.is_symlink():
            self._forget(done, name)
            return
        seconds = age(done)
        old = [path for merge in _merges(done) if os.path.lexists(path := self._store.folder / merge.file)]
        for path in old:
            self._unlist(path, name)
        if old and seconds < self._grace:
            self._keep(old, self._grace - seconds, compacted)
        elif old or (planned.exists() and not planned.is_symlink()):
            for path in old:
                path.resolve().unlink(missing_ok=True)
                path.unlink(missing_ok=True)
            compacted.removed += len(old)
            self._unlist(planned, name)
            os.utime(done)
        elif seconds >= SETTLE_SECONDS:
            self._unlist(done, name)

    def _forget(self, unlisted: Path, name: str) -> None:
        """Removes the last files of a merge once no query can have listed them."""
        if age(unlisted) >= self._grace:
            shutil.rmtree(self._home(name), ignore_errors=True)
            for state in ("planned", "done"):
                self._record(name, state).unlink(missing_ok=True)

    def _unlist(self, path: Path, name: str) -> None:
        """Hides a file from later queries; a query that has listed it can still open it."""
        if path.is_symlink() or not path.exists():
            return
        moved = self._home(name) / self._relative(path).replace(os.sep, ".")
        moved.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.link(path, moved)
        link = self._store.staged(path)
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(moved, path.parent))
        link.rename(path)

    def merge(self, compacted: Compacted, progress: FileCounter, stopped: threading.Event) -> None:
        """Publishes new files, which readers do not use yet.

        Raises:
            StoreError: a file is broken, or one cannot be written.
            StoppedError: ``stopped`` was set.
        """
        if not self._groups:
            return
        name = secrets.token_hex(4)
        staged = []
        merges = []
        try:
            for number, (kind, group) in enumerate(self._groups):
                new = StagedFile(self._store, kind, self.run_id, f"merged-{name}-{number:06d}")
                staged.append(new)
                size = DOCUMENT_GROUP_BYTES if kind == "documents" else GROUP_BYTES
                for table in _row_groups(kind, group, size, progress, stopped):
                    new.write(table)
                new.complete()
                merges += [Merge(self._relative(new.path), self._relative(path), False) for path in group]
            self._store.add_merges(merges, self._record(name, "planned").name)
            for new in staged:
                self._store.publish(new.path)
        except BaseException:
            for new in staged:
                new.discard()
            raise
        self.waiting[name] = merges
        compacted.merged += len(merges)
        compacted.made += len(staged)

    def count_in(self, compacted: Compacted) -> None:
        """Makes readers use the new files, which must have settled."""
        for name, merges in self.waiting.items():
            done = [replace(merge, done=True) for merge in merges]
            self._store.add_merges(done, self._record(name, "done").name)
            old = [path for merge in merges if (path := self._store.folder / merge.file).exists()]
            try:
                for path in old:
                    self._unlist(path, name)
            except OSError as error:
                raise self._store.cannot_write(self._store.folder, error) from error
            self._keep(old, self._grace, compacted)
        self.waiting = {}

    def _keep(self, old: Sequence[Path], seconds: float, compacted: Compacted) -> None:
        compacted.kept += len(old)
        compacted.kept_bytes += sum(path.stat().st_size for path in old)
        compacted.kept_seconds = max(compacted.kept_seconds, seconds)

    def _record(self, name: str, state: str) -> Path:
        return self._store.folder / "merges" / f"{self.run_id}.{name}.{state}.parquet"

    def _home(self, name: str) -> Path:
        return self._store.folder / "merged" / f"{self.run_id}.{name}"

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self._store.folder))


def _name(record: Path) -> str:
    return record.name.split(".")[-3]


def age(path: Path) -> float:
    return time.time() - path.lstat().st_mtime


def _done(planned: Path) -> Path:
    return planned.with_name(planned.name.replace(".planned.parquet", ".done.parquet"))


def _merges(record: Path) -> list[Merge]:
    try:
        return [Merge(**row) for row in pq.read_table(record, partitioning=None).to_pylist()]
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(record, error) from error


def _grouped(paths: Sequence[Path], at_least: int) -> Iterator[list[Path]]:
    """Groups of small files, each to be merged into one."""
    group: list[Path] = []
    size = 0
    for path in paths:
        if (own := path.stat().st_size) >= LARGE_BYTES:
            continue
        group.append(path)
        size += own
        if size >= LARGE_BYTES:
            if len(group) > 1:
                yield group
            group, size = [], 0
    if len(group) >= max(at_least, 2):
        yield group


def _row_groups(
    kind: str, paths: Sequence[Path], group_bytes: int, progress: FileCounter, stopped: threading.Event
) -> Iterator[pa.Table]:
    """The rows of files of one kind, in tables of about ``group_bytes``.

    Raises:
        StoreError: a file cannot be read.
    """
    tables: list[pa.Table] = []
    size = 0
    for path in paths:
        try:
            with pq.ParquetFile(path, memory_map=True, page_checksum_verification=True) as file:
                for number in range(file.num_row_groups):
                    if stopped.is_set():
                        raise StoppedError
                    tables.append(conformed(file.read_row_group(number), kind))
                    size += tables[-1].nbytes
                    if size >= group_bytes:
                        yield pa.concat_tables(tables)
                        tables, size = [], 0
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(path, error) from error
        progress.add()
        progress.tell()
    if tables:
        yield pa.concat_tables(tables)


def _unreadable(path: Path, error: Exception) -> StoreError:
    return UnreadableError(f"cannot read {path}: {error}; `pokeladder check --repair` sets it aside")
