"""Merging a run's small files into few large ones, while readers read.

Readers hold no lock; which files count they see from ``merges/`` (``sql/macros/current_rows.sql``), in these steps:

1. the plan is published: the new files, of which there is none yet, do not count;
2. the new files are published, whole;
3. ``SETTLE_SECONDS`` later the same is published as done: from now on the new files count, and the old ones do not;
4. the old files are taken out of what queries list: each is moved, and a symbolic link to it takes its place, which a
   query that has listed it follows, and which no later one lists;
5. a grace later they are removed, and the plan is taken out in the same way, then what said that it was done.

A process may be killed after any of them: the next one that holds the run's lock goes on from there. Rows stay as they
are: ``batch`` and ``document_file`` go on to name what they came in.

A run does so with its own files whenever many have come together, and with those that the runs before it have left
(:func:`merge_earlier`).
"""

from __future__ import annotations

import glob
import os
import secrets
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import Timeout

from pokeladder.errors import StoreError
from pokeladder.progress import FileCounter, FileWatch
from pokeladder.store.files import Store
from pokeladder.store.rows import Merge
from pokeladder.store.schemas import FOLDERS, conformed
from pokeladder.store.staging import StagedFile

# Files from this size on are left as they are.
LARGE_BYTES = 64 << 20
# A new file gets its rows so many bytes at a time, before compression; documents, of which often few are read, fewer.
GROUP_BYTES = 32 << 20
DOCUMENT_GROUP_BYTES = 8 << 20
# A query lists the files that there are and then reads which of them count: never so long after.
SETTLE_SECONDS = 5.0
# A query opens the last of the files that it has listed: never so long after.
GRACE_SECONDS = 600.0
# As many are locked at once, until their new files count.
RUNS_AT_ONCE = 64
# While a run is played, the files of so many earlier ones are merged, of a kind and run up to this size.
EARLIER_RUNS = 16
EARLIER_BYTES = 16 << 20


@dataclass
class Compacted:
    """What a compaction has done.

    Attributes:
        merged, made: how many old files were merged, and into how many.
        removed: old files of earlier compactions that were removed.
        kept, kept_bytes: old files that stay for readers, and their size.
        kept_seconds: how long the last of them does.
        skipped: runs that were left alone, and why.
        broken: what is wrong with each file that cannot be read; its run was left as it was.
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
    """A compaction was told to stop; what the store holds is what it was, and the next one goes on from there."""


class _UnreadableError(StoreError):
    """A file to merge is broken."""


def compact(
    store: Store,
    run_id: str,
    *,
    at_least: int = 2,
    grace: float = GRACE_SECONDS,
    watch: FileWatch = lambda _: None,
    stopped: threading.Event | None = None,
) -> Compacted:
    """Merges the small files of a run whose lock the caller holds, and removes those that were merged long ago.

    Takes ``SETTLE_SECONDS`` longer than the work. The run may go on to be played by another thread meanwhile.

    Args:
        at_least: so many small files of a kind, or as many as make a large one, are worth it.
        grace: seconds for which old files stay for queries that are under way.
        watch: told the progress after each file.
        stopped: set by another thread to have it end soon.

    Raises:
        StoreError: a file is broken, or the store cannot be written; what the store holds is what it was.
        StoppedError: it was told to stop.
    """
    stopped = stopped or threading.Event()
    run = _Run(store, run_id, grace, at_least)
    compacted = Compacted()
    run.clean(compacted)
    run.merge(compacted, FileCounter(run.files, watch), stopped)
    _count_in([run], compacted, stopped)
    return compacted


def merge_earlier(store: Store, besides: str, stop: threading.Event) -> None:
    """Merges what earlier runs have left in small files, while the run ``besides`` is played; see :func:`go_on`.

    Args:
        stop: ends it soon; what has begun goes on at the next call.

    Raises:
        StoreError: a file is broken, or the store cannot be written; what the store holds is what it was.
    """
    go_on(store, besides)
    merged = False
    for run_id in store.runs_with_files()[-EARLIER_RUNS:]:
        if stop.is_set() or run_id == besides or not _Run(store, run_id, GRACE_SECONDS, at_most=EARLIER_BYTES).files:
            continue
        try:
            lock = store.lock_run(run_id)
        except StoreError:
            continue
        # Not while new files settle: somebody may want to go on with that run.
        with lock:
            # Only now: until here another process may have changed it.
            run = _Run(store, run_id, GRACE_SECONDS, at_most=EARLIER_BYTES)
            if not run.is_ingested:
                run.clean(Compacted())
                run.merge(Compacted(), FileCounter(run.files, lambda _: None), stop)
                merged = True
        lock.release()
    if merged and not stop.wait(1.1 * SETTLE_SECONDS):
        go_on(store, besides)


def go_on(store: Store, besides: str) -> None:
    """Goes on with what runs have begun to merge as far as there is no need to wait, for all but ``besides``.

    Raises:
        StoreError: the store cannot be written; what it holds is what it was.
    """
    records = defaultdict(list)
    for record in (store.folder / "merges").glob("*.*.parquet"):
        records[record.name.split(".")[0]].append(record)
    for run_id, of_run in sorted(records.items()):
        ages = [_age(record) for record in of_run]
        done = any(record.name.endswith(".done.parquet") for record in of_run)
        if run_id == besides or min(ages) < (GRACE_SECONDS if done else SETTLE_SECONDS):
            continue
        try:
            lock = store.lock_run(run_id)
        except StoreError:
            continue
        try:
            run = _Run(store, run_id, GRACE_SECONDS)
            run.clean(Compacted())
            if run.is_settled:
                run.count_in(Compacted())
        except FileNotFoundError:
            # Another process has gone on with it before it was locked.
            continue
        finally:
            lock.release()


def compact_all(store: Store, *, grace: float = GRACE_SECONDS, watch: FileWatch = lambda _: None) -> Compacted:
    """Does what :func:`compact` does for every run that no other process has.

    Raises:
        StoreError: the store cannot be written; what it holds is what it was.
    """
    compacted = Compacted()
    runs = [_Run(store, run_id, grace) for run_id in store.runs_with_files()]
    stopped = threading.Event()
    progress = FileCounter(sum(run.files for run in runs), watch)
    due = [run for run in runs if run.files or run.records]
    with ExitStack() as ingest:
        try:
            lock = store.lock_ingest()
            lock.acquire(timeout=0)
            ingest.callback(lock.release)
            ingesting = False
        except Timeout:
            ingesting = True
        except OSError as error:
            raise store.cannot_write(store.folder, error) from error
        for begin in range(0, len(due), RUNS_AT_ONCE):
            with ExitStack() as held:
                merged = []
                for listed in due[begin : begin + RUNS_AT_ONCE]:
                    if ingesting and listed.is_ingested:
                        compacted.skipped[listed.run_id] = "another process is taking something in"
                        continue
                    try:
                        held.callback(store.lock_run(listed.run_id).release)
                    except StoreError:
                        compacted.skipped[listed.run_id] = "another process is playing it"
                        continue
                    # Only now: until here another process may have changed it.
                    run = _Run(store, listed.run_id, grace)
                    run.clean(compacted)
                    try:
                        run.merge(compacted, progress, stopped)
                    except _UnreadableError as error:
                        compacted.broken.append(str(error))
                    merged.append(run)
                _count_in(merged, compacted, stopped)
    return compacted


def _count_in(runs: Sequence[_Run], compacted: Compacted, stopped: threading.Event) -> None:
    """Has the new files of runs count, and not the old ones."""
    if any(run.waiting for run in runs):
        settle(stopped)
    for run in runs:
        run.count_in(compacted)


def settle(stopped: threading.Event) -> None:
    """Waits until all queries that did not list the new files have read which files count.

    Raises:
        StoppedError: it was told to stop.
    """
    if stopped.wait(SETTLE_SECONDS):
        raise StoppedError


class _Run:
    """A run's small files and what its compactions have come to."""

    def __init__(self, store: Store, run_id: str, grace: float, at_least: int = 2, at_most: int | None = None) -> None:
        self.run_id = run_id
        self._store = store
        self._grace = grace
        self.records = sorted((store.folder / "merges").glob(f"{glob.escape(run_id)}.*.parquet"))
        # New files that are there and do not count yet, by the compaction that made them.
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
        """Whether all queries that did not list the new files have read which files count."""
        paths = [self._record(name, "planned") for name in self.waiting]
        paths += [self._store.folder / merge.merged for merges in self.waiting.values() for merge in merges]
        # A file that gets its name is changed then.
        return all(time.time() - path.stat().st_ctime >= SETTLE_SECONDS for path in paths)

    @property
    def is_ingested(self) -> bool:
        return any(path.name.startswith("ingest-") for _, group in self._groups for path in group)

    def clean(self, compacted: Compacted) -> None:
        """Removes what no query can need any more, and what killed processes have left."""
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
        age = _age(done)
        old = [path for merge in _merges(done) if os.path.lexists(path := self._store.folder / merge.file)]
        for path in old:
            self._unlist(path, name)
        if old and age < self._grace:
            self._keep(old, self._grace - age, compacted)
        elif old or (planned.exists() and not planned.is_symlink()):
            for path in old:
                path.resolve().unlink(missing_ok=True)
                path.unlink(missing_ok=True)
            compacted.removed += len(old)
            self._unlist(planned, name)
            os.utime(done)
        elif age >= SETTLE_SECONDS:
            self._unlist(done, name)

    def _forget(self, unlisted: Path, name: str) -> None:
        """Removes what is left of a compaction once no query can have listed the last of it."""
        if _age(unlisted) >= self._grace:
            shutil.rmtree(self._home(name), ignore_errors=True)
            for state in ("planned", "done"):
                self._record(name, state).unlink(missing_ok=True)

    def _unlist(self, path: Path, name: str) -> None:
        """Takes a file out of what queries list from now on; one that has listed it still opens it."""
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
        """Publishes new files, which do not count yet.

        Raises:
            StoreError: a file is broken, or one cannot be written.
            StoppedError: it was told to stop.
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
        """Has the new files count, and not the old ones; they have been there for ``SETTLE_SECONDS``."""
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


def _age(path: Path) -> float:
    return time.time() - path.lstat().st_mtime


def _done(planned: Path) -> Path:
    return planned.with_name(planned.name.replace(".planned.parquet", ".done.parquet"))


def _merges(record: Path) -> list[Merge]:
    try:
        return [Merge(**row) for row in pq.read_table(record, partitioning=None).to_pylist()]
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(record, error) from error


def _grouped(paths: Sequence[Path], at_least: int) -> Iterator[list[Path]]:
    """Small files that go into one, until that is large."""
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
    """All rows of files of one kind, about ``group_bytes`` at a time.

    Raises:
        StoreError: one cannot be read.
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
    return _UnreadableError(f"cannot read {path}: {error}; `pokeladder check --repair` sets it aside")
