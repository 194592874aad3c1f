"""Compaction: merges the small files of runs, on request and while a run is played."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack

from filelock import Timeout

from pokeladder.errors import StoreError
from pokeladder.progress import FileCounter, FileWatch
from pokeladder.store import merging
from pokeladder.store.files import GRACE_SECONDS, Store
from pokeladder.store.merging import Compacted, RunMerges, StoppedError, UnreadableError, age

# Number of runs that are locked together until readers use their new files.
RUNS_AT_ONCE = 64
# While a run is played, files of this many earlier runs are merged: those of one kind and run up to this size.
EARLIER_RUNS = 16
EARLIER_BYTES = 16 << 20


def compact(
    store: Store,
    run_id: str,
    *,
    at_least: int = 2,
    grace: float = GRACE_SECONDS,
    watch: FileWatch = lambda _: None,
    stopped: threading.Event | None = None,
) -> Compacted:
    """Merges the small files of a run whose lock the caller holds, and removes files merged before the grace period.

    Another thread may play the run meanwhile. The call waits :data:`~pokeladder.store.merging.SETTLE_SECONDS`.

    Args:
        at_least: smallest number of files of a kind to merge, unless fewer make a large file.
        grace: seconds for which old files stay for queries that have listed them.
        watch: called with the progress after each file.
        stopped: an event that ends the call early.

    Raises:
        StoreError: a file is broken, or the store cannot be written; no battle is lost.
        StoppedError: ``stopped`` was set.
    """
    stopped = stopped or threading.Event()
    run = RunMerges(store, run_id, grace, at_least)
    compacted = Compacted()
    run.clean(compacted)
    run.merge(compacted, FileCounter(run.files, watch), stopped)
    _count_in([run], compacted, stopped)
    return compacted


def merge_earlier(store: Store, besides: str, stop: threading.Event) -> None:
    """Merges the small files of earlier runs while the run ``besides`` is played; see :func:`go_on`.

    Args:
        stop: an event that ends the call early; the next call continues.

    Raises:
        StoreError: a file is broken, or the store cannot be written; no battle is lost.
    """
    go_on(store, besides)
    merged = False
    for run_id in store.runs_with_files()[-EARLIER_RUNS:]:
        if (
            stop.is_set()
            or run_id == besides
            or not RunMerges(store, run_id, GRACE_SECONDS, at_most=EARLIER_BYTES).files
        ):
            continue
        try:
            lock = store.lock_run(run_id)
        except StoreError:
            continue
        # The lock is not held while new files settle, since a user may resume that run.
        with lock:
            # Another process may have changed the run before it was locked.
            run = RunMerges(store, run_id, GRACE_SECONDS, at_most=EARLIER_BYTES)
            if not run.is_ingested:
                run.clean(Compacted())
                run.merge(Compacted(), FileCounter(run.files, lambda _: None), stop)
                merged = True
        lock.release()
    if merged and not stop.wait(1.1 * merging.SETTLE_SECONDS):
        go_on(store, besides)


def go_on(store: Store, besides: str) -> None:
    """Continues begun merges of all runs but ``besides``, where no waiting is needed.

    Raises:
        StoreError: the store cannot be written; no battle is lost.
    """
    records = defaultdict(list)
    for record in (store.folder / "merges").glob("*.*.parquet"):
        records[record.name.split(".")[0]].append(record)
    for run_id, of_run in sorted(records.items()):
        ages = [age(record) for record in of_run]
        done = any(record.name.endswith(".done.parquet") for record in of_run)
        if run_id == besides or min(ages) < (GRACE_SECONDS if done else merging.SETTLE_SECONDS):
            continue
        try:
            lock = store.lock_run(run_id)
        except StoreError:
            continue
        try:
            run = RunMerges(store, run_id, GRACE_SECONDS)
            run.clean(Compacted())
            if run.is_settled:
                run.count_in(Compacted())
        except FileNotFoundError:
            # Another process continued the merge before the run was locked.
            continue
        finally:
            lock.release()


def compact_all(store: Store, *, grace: float = GRACE_SECONDS, watch: FileWatch = lambda _: None) -> Compacted:
    """Compacts every run that no other process has locked; see :func:`compact`.

    Raises:
        StoreError: the store cannot be written; no battle is lost.
    """
    compacted = Compacted()
    runs = [RunMerges(store, run_id, grace) for run_id in store.runs_with_files()]
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
                        compacted.skipped[listed.run_id] = "another process is ingesting"
                        continue
                    try:
                        held.callback(store.lock_run(listed.run_id).release)
                    except StoreError:
                        compacted.skipped[listed.run_id] = "another process is playing it"
                        continue
                    # Another process may have changed the run before it was locked.
                    run = RunMerges(store, listed.run_id, grace)
                    run.clean(compacted)
                    try:
                        run.merge(compacted, progress, stopped)
                    except UnreadableError as error:
                        compacted.broken.append(str(error))
                    merged.append(run)
                _count_in(merged, compacted, stopped)
    return compacted


def _count_in(runs: Sequence[RunMerges], compacted: Compacted, stopped: threading.Event) -> None:
    """Makes readers use the new files of runs, once these have settled."""
    if any(run.waiting for run in runs):
        settle(stopped)
    for run in runs:
        run.count_in(compacted)


def settle(stopped: threading.Event) -> None:
    """Waits until every query that did not list the new files has read the folder ``merges``.

    Raises:
        StoppedError: ``stopped`` was set.
    """
    if stopped.wait(merging.SETTLE_SECONDS):
        raise StoppedError
