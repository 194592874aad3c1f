"""``check``: reports the faults of a store, and sets aside what is broken."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import Timeout

from pokeladder.errors import StoreError
from pokeladder.progress import FileWatch
from pokeladder.store.examination import Checked, Examination, Fault, changed, run_of, stamps_of
from pokeladder.store.files import Store, new_run_id
from pokeladder.store.rows import Merge
from pokeladder.store.schemas import conformed
from pokeladder.store.staging import StagedFile


def check(store: Store, *, repair: bool, watch: FileWatch) -> Checked:
    """Reads all files of a store.

    Args:
        repair: move broken files, and rows that refer to them, to a folder of their own in the store.
        watch: called with the progress after each file.

    Raises:
        StoreError: the store was compacted during the check, or a repair could not write.
    """
    if not repair:
        found = Examination(store, watch)
        # Unfinished files of a running process look like leftovers.
        busy = {fault.run_id for fault in found.faults if fault.leftover and _is_busy(store, fault)}
        found.faults = [fault for fault in found.faults if not (fault.leftover and fault.run_id in busy)]
        return found.report()
    locks = _Locks(store)
    with locks.held:
        while True:
            found = Examination(store, watch)
            locks.take(found.faults)
            # Another process may have changed files before they were locked.
            if not any(locks.is_ours(path) for path in changed(found.stamps, stamps_of(store))):
                return _repair(store, found, locks)


class _Locks:
    """The locks of the runs that are being repaired."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._runs: dict[str, bool] = {"": True, "none": True}
        self._ingest: bool | None = None
        self.held = ExitStack()

    def take(self, faults: Iterable[Fault]) -> None:
        """Locks the runs of faults, except those that other processes have locked.

        Raises:
            StoreError: the store cannot be written.
        """
        try:
            if self._ingest is None:
                lock = self._store.lock_ingest()
                self._ingest = _acquired(partial(lock.acquire, timeout=0))
                if self._ingest:
                    self.held.callback(lock.release)
            for run_id in sorted({fault.run_id for fault in faults} - self._runs.keys()):
                self._runs[run_id] = _acquired(partial(self._lock_run, run_id))
        except OSError as error:
            raise _cannot_set_aside(self._store, error) from error

    def _lock_run(self, run_id: str) -> None:
        self.held.callback(self._store.lock_run(run_id).release)

    def is_ours(self, path: Path) -> bool:
        return self._runs.get(run_of(path), False) and (self._ingest or "ingest-" not in path.name)


def _acquired(acquire: Callable[[], object]) -> bool:
    try:
        acquire()
    except (Timeout, StoreError):
        return False
    return True


def _is_busy(store: Store, fault: Fault) -> bool:
    return store.is_held(fault.run_id) or ("ingest-" in fault.file and store.is_ingesting())


def _repair(store: Store, found: Examination, locks: _Locks) -> Checked:
    """Sets aside faulty and left-over files and rows of runs that no other process has locked."""
    checked = found.report()
    ours = [fault for fault in found.faults if locks.is_ours(Path(fault.file))]
    checked.left_alone = sorted({fault.run_id for fault in found.faults if fault not in ours})
    if not ours:
        return checked
    checked.set_aside = store.folder / "set-aside" / new_run_id(datetime.now(UTC))
    try:
        for path in found.originals:
            here = store.folder / path
            if here.is_symlink() and locks.is_ours(path):
                here.resolve().rename(here)
        for file in sorted({fault.file for fault in ours}):
            _set_aside(store, Path(file), found.rows_of(file), checked.set_aside)
        os.sync()
    except OSError as error:
        raise _cannot_set_aside(store, error) from error
    # Opening makes the empty files anew, one of which may have been broken.
    Store(store.folder)
    hit: dict[str, set[str]] = defaultdict(set)
    for fault in ours:
        if not fault.leftover:
            hit[fault.run_id].add(fault.kind)
    for run in found.runs():
        checked.costs += _costs(run, hit[run["run_id"]])
    return checked


def _set_aside(store: Store, path: Path, rows: set[int] | None, folder: Path) -> None:
    """Moves a file, or replaces it by a copy without some of its rows."""
    here, there = store.folder / path, folder / path
    there.parent.mkdir(parents=True, exist_ok=True)
    if rows is None or len(rows) == pq.read_metadata(here).num_rows:
        here.rename(there)
        return
    os.link(here, there)
    kind = path.parts[0]
    if kind == "merges":
        merges = pq.read_table(there, partitioning=None).to_pylist()
        store.add_merges([Merge(**merge) for row, merge in enumerate(merges) if row not in rows], path.name)
        return
    kept = StagedFile(store, kind, path.parts[1], path.stem)
    begin = 0
    with pq.ParquetFile(there) as file:
        for number in range(file.num_row_groups):
            table = conformed(file.read_row_group(number), kind)
            kept.write(table.filter(pa.array([begin + row not in rows for row in range(len(table))])))
            begin += len(table)
    kept.publish()


def _costs(run: Mapping[str, Any], kinds: set[str]) -> Iterator[str]:
    """What a run (a row of ``check_runs``) has lost with files of some kinds, and the remedy."""
    name = f"run {run['run_id']}"
    if "battles" in kinds and run["kind"] is not None and run["stored"] < run["scheduled"]:
        again = "ingest them" if run["kind"] == "import" else "play them"
        command = "ingest" if run["kind"] == "import" else f"{run['kind']} --resume"
        yield (
            f"{name} has {run['stored']:,} of {run['scheduled']:,} battles: {again} again with `pokeladder {command}`"
        )
    if kinds & {"trajectories", "documents"} and run["untold"]:
        yield f"{run['untold']:,} battles of {name} have no trajectories now"
    if "server_battles" in kinds and run["unsaid"]:
        yield f"the server's logs of {run['unsaid']:,} battles of {name} are lost"
    if "points" in kinds and run["unseen"]:
        yield (f"the names of {run['unseen']:,} battles of {name} are lost: their battle logs may be ingested twice")


def _cannot_set_aside(store: Store, error: OSError) -> StoreError:
    return StoreError(
        f"cannot set files aside in {store.folder}: {error}; make it writable, and run the same command again"
    )
