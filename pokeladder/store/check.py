"""Looking at every file of a store by itself, and setting aside what is broken.

One broken file makes every question fail that reads its kind, so the views are of no use here. Each file is read whole,
what its rows are found by goes into tables of this module (``TABLES``), and the questions about them are SQL
(``sql/queries/check_*.sql``).
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import Timeout

from pokeladder.errors import StoreError
from pokeladder.progress import FileCounter, FileWatch
from pokeladder.query import statements
from pokeladder.query.databases import OnDisk
from pokeladder.query.texts import query_text, text
from pokeladder.store.compaction import GRACE_SECONDS
from pokeladder.store.files import Store, new_run_id
from pokeladder.store.rows import Merge
from pokeladder.store.schemas import SCHEMAS, conformed
from pokeladder.store.staging import StagedFile

# What is asked of the rows of each kind, besides file and row. A kind is listed after those that refer to it, which are
# written after it: what is being written meanwhile refers to nothing that was missed.
TABLES = {
    "battles": "battle_id, batch, run_id, game, outcome, finished_at, format, run_seed, played, unrecorded",
    "server_battles": "battle_id, batch",
    "points": "battle_id, batch",
    "trajectories": "trajectory_id, battle_id, batch, document_file, digest",
    "documents": "document_file, trajectory_id, sha256(document) AS digest",
    "runs": "run_id, kind, scheduled",
    "versions": "run_id, agent",
    "merges": "merged, file AS old, done",
}
# Pairs of equal battles that are named.
PAIRS_SHOWN = 3
# Rows go into a table so many bytes at a time.
PART_BYTES = 32 << 20


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with a file.

    Attributes:
        leftover: nothing is wrong; nothing shows it, either.
        kind: the folder that it is in.
        file: its path within the store's folder.
        rows: how many rows it is about; None if the whole file.
    """

    leftover: bool
    kind: str
    file: str
    reason: str
    rows: int | None

    @property
    def run_id(self) -> str:
        """ "" if it is of no run."""
        return _run_of(Path(self.file))


@dataclass
class Checked:
    """What a store holds and what is wrong with it.

    Attributes:
        files, size: how many files count, and their bytes.
        battles, trajectories, documents, runs: that could be read.
        faults: what is wrong.
        leftovers: what killed processes have left; nothing shows it.
        notes: what cannot be mended and does no harm.
        set_aside: the folder that now has what was set aside; None if nothing was.
        costs: what that cost, and what to do about it.
        left_alone: runs with faults or leftovers that another process is playing.
    """

    files: int = 0
    size: int = 0
    battles: int = 0
    trajectories: int = 0
    documents: int = 0
    runs: int = 0
    faults: list[Fault] = field(default_factory=list)
    leftovers: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    set_aside: Path | None = None
    costs: list[str] = field(default_factory=list)
    left_alone: list[str] = field(default_factory=list)


def check(store: Store, *, repair: bool, watch: FileWatch) -> Checked:
    """Reads a store whole.

    Args:
        repair: set aside what is broken, and what refers to it, in a folder of its own within the store.
        watch: told the progress after each file.

    Raises:
        StoreError: the store was compacted meanwhile, or nothing can be set aside in it.
    """
    if not repair:
        found = _Examination(store, watch)
        # What a process that is at work has not finished yet looks like a leftover.
        busy = {fault.run_id for fault in found.faults if fault.leftover and _is_busy(store, fault)}
        found.faults = [fault for fault in found.faults if not (fault.leftover and fault.run_id in busy)]
        return found.report()
    locks = _Locks(store)
    with locks.held:
        while True:
            found = _Examination(store, watch)
            locks.take(found.faults)
            # Until it was locked another process may have changed it.
            if not any(locks.is_ours(path) for path in _changed(found.stamps, _stamps(store))):
                return _repair(store, found, locks)


class _Locks:
    """The runs that this process has for itself while it sets aside what is broken of them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._runs: dict[str, bool] = {"": True, "none": True}
        self._ingest: bool | None = None
        self.held = ExitStack()

    def take(self, faults: Iterable[Fault]) -> None:
        """Locks the runs of faults, but those that other processes have.

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
        return self._runs.get(_run_of(path), False) and (self._ingest or "ingest-" not in path.name)


def _acquired(acquire: Callable[[], object]) -> bool:
    try:
        acquire()
    except (Timeout, StoreError):
        return False
    return True


def _is_busy(store: Store, fault: Fault) -> bool:
    return store.is_held(fault.run_id) or ("ingest-" in fault.file and store.is_ingesting())


def _run_of(path: Path) -> str:
    """The run of a file within the store's folder; "" if it is of none."""
    if path.parts[0] == "unfinished":
        return path.name.split(".")[1]
    if len(path.parts) > 2:
        return path.parts[1]
    return path.name.split(".")[0] if len(path.parts) > 1 else ""


def _stamps(store: Store) -> dict[Path, tuple[int, int]]:
    """The files that queries list, within the store's folder, and by what it shows that they have changed."""
    stamps = {}
    for kind in TABLES:
        for path in sorted((store.folder / kind).rglob("*")):
            with suppress(FileNotFoundError):
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    stamps[path.relative_to(store.folder)] = (status.st_size, status.st_mtime_ns)
    return stamps


def _changed(before: Mapping[Path, object], after: Mapping[Path, object]) -> set[Path]:
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


class _Examination:
    """What the files of a store hold, in a database of its own.

    Attributes:
        stamps: the files when they were listed.
        faults: what is wrong, and what is left over.
        originals: files from which broken ones were merged, and which are still there.
    """

    def __init__(self, store: Store, watch: FileWatch) -> None:
        self._store = store
        self.stamps = _stamps(store)
        self._progress = FileCounter(len(self.stamps), watch)
        self._database = OnDisk()
        self.connection = self._database.connection
        self.connection.execute(
            "CREATE TABLE faults (leftover BOOLEAN, kind VARCHAR, file VARCHAR, row BIGINT, reason VARCHAR)"
        )
        self._part: list[pa.Table] = []
        for kind, schema in SCHEMAS.items():
            rows = self.connection.from_arrow(_placed(schema.empty_table(), Path(kind), 0))
            rows.project(_columns(kind)).create(kind)
        self.connection.execute(f"CREATE VIEW repeated_battles AS {text('views/repeated_battles')}")
        # First those that say which of the others count.
        self._read_all([path for path in self.stamps if path.parts[0] == "merges"])
        hidden = self._ask("check_hidden")
        visible = [path for path in self.stamps if path.parts[0] != "merges" and str(path) not in hidden]
        self._read_all(visible)
        # Of those that are broken the files that they were merged from may still be there.
        found = map(Path, self._ask("check_originals"))
        self.originals = sorted(path for path in found if (store.folder / path).exists())
        self._read_all(self.originals)
        self.files = len(visible) + len(self.originals)
        self.size = sum((store.folder / path).stat().st_size for path in [*visible, *self.originals])
        for query, leftover in (("check_faults", False), ("check_leftovers", True)):
            with statements.query_errors(query_text(query)):
                statements.query(self.connection, query).project(f"{leftover}, *").insert_into("faults")
        for path in _unfinished(store):
            self._fault(path, "a process that was killed was writing it", leftover=True)
        self.faults = [Fault(**row) for row in statements.rows(self.connection, "check_summary")]

    def report(self) -> Checked:
        (counts,) = statements.rows(self.connection, "check_counts")
        lost = [run for run in self.runs() if run["kind"] is None]
        return Checked(
            files=self.files,
            size=self.size,
            faults=[fault for fault in self.faults if not fault.leftover],
            leftovers=[fault for fault in self.faults if fault.leftover],
            notes=[
                f"what run {run['run_id']} was asked to do is lost: its {run['stored']:,} battles count, "
                "and it cannot be resumed"
                for run in lost
            ]
            + [*self._repeated(), *self._unrecorded()],
            **counts,
        )

    def _repeated(self) -> Iterator[str]:
        found = statements.rows(self.connection, "check_repeated")
        if found:
            pairs = ", ".join(f"{row['battle_id']} equals {row['repeats']}" for row in found[:PAIRS_SHOWN])
            rest = f", and {len(found) - PAIRS_SHOWN:,} more" if len(found) > PAIRS_SHOWN else ""
            yield (
                f"{len(found):,} battles equal earlier ones and do not count in ratings: {pairs}{rest} (the view "
                "repeated_battles has all)"
            )

    def _unrecorded(self) -> Iterator[str]:
        for row in statements.rows(self.connection, "check_unrecorded"):
            yield f"{row['missing']:,} trajectories of run {row['run_id']} could not be recorded when it was played"

    def runs(self) -> list[dict[str, Any]]:
        """Rows of ``sql/queries/check_runs.sql``."""
        return statements.rows(self.connection, "check_runs")

    def rows_of(self, file: str) -> set[int] | None:
        """Those of a file that are at fault; None for all of it."""
        query = "SELECT DISTINCT row FROM faults WHERE file = $file"
        rows = {row for (row,) in self.connection.execute(query, {"file": file}).fetchall()}
        return None if None in rows else rows

    def _ask(self, name: str) -> set[str]:
        return {row["file"] for row in statements.rows(self.connection, name)}

    def _read_all(self, paths: Sequence[Path]) -> None:
        for kind in SCHEMAS:
            for path in paths:
                if path.parts[0] == kind:
                    self._read_file(path)
                    self._progress.add()
                    self._progress.tell()
            self._flush(kind)

    def _read_file(self, path: Path) -> None:
        kind = path.parts[0]
        begin = 0
        if path.suffix != ".parquet":
            self._fault(path, "it is no file of a store")
            return
        try:
            with pq.ParquetFile(self._store.folder / path, page_checksum_verification=True) as file:
                conformed(file.schema_arrow.empty_table(), kind)
                for number in range(file.num_row_groups):
                    table = conformed(file.read_row_group(number), kind)
                    table.validate(full=True)
                    self._add(kind, _placed(table, path, begin))
                    begin += len(table)
        except FileNotFoundError as error:
            raise StoreError(f"{path} was taken away while the store was read: check it again") from error
        except (OSError, pa.ArrowException) as error:
            self._flush(kind)
            self.connection.execute(f"DELETE FROM {kind} WHERE file = $file", {"file": str(path)})  # noqa: S608
            reason = str(error).rstrip(".")
            self._fault(path, f"it cannot be read, and no question about {kind} is answered for it: {reason}")

    def _add(self, kind: str, rows: pa.Table) -> None:
        self._part.append(rows)
        if sum(table.nbytes for table in self._part) >= PART_BYTES:
            self._flush(kind)

    def _flush(self, kind: str) -> None:
        """Puts rows that were read, all of one kind, into its table."""
        part, self._part = self._part, []
        if not part:
            return
        rows = self.connection.from_arrow(pa.concat_tables(part))
        rows.project(_columns(kind)).insert_into(kind)

    def _fault(self, path: Path, reason: str, *, leftover: bool = False) -> None:
        self.connection.execute(
            "INSERT INTO faults VALUES ($leftover, $kind, $file, NULL, $reason)",
            {"leftover": leftover, "kind": path.parts[0], "file": str(path), "reason": reason},
        )


def _columns(kind: str) -> str:
    return f"_file AS file, _row AS row, {TABLES[kind]}"


def _placed(table: pa.Table, path: Path, begin: int) -> pa.Table:
    """The columns of a file's rows that are asked for, and where they are."""
    kind = path.parts[0]
    wanted = [name for name in table.column_names if re.search(rf"\b{name}\b", TABLES[kind])]
    numbers = pa.array(range(begin, begin + len(table)), pa.int64())
    files = pa.array([str(path)] * len(table), pa.string())
    return table.select(wanted).append_column("_file", files).append_column("_row", numbers)


def _unfinished(store: Store) -> Iterator[Path]:
    """Files, within the store's folder, that nobody may be writing any more."""
    for path in sorted([*store.folder.glob(".*.tmp"), *(store.folder / "unfinished").iterdir()]):
        found = path.relative_to(store.folder)
        with suppress(FileNotFoundError):
            # Those of no run are not locked; none takes long.
            if _run_of(found) not in ("", "none") or time.time() - path.lstat().st_mtime > GRACE_SECONDS:
                yield found


def _repair(store: Store, found: _Examination, locks: _Locks) -> Checked:
    """Sets aside what is at fault or left over and no other process has."""
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
    # If one of the empty files was broken.
    Store(store.folder)
    hit: dict[str, set[str]] = defaultdict(set)
    for fault in ours:
        if not fault.leftover:
            hit[fault.run_id].add(fault.kind)
    for run in found.runs():
        checked.costs += _costs(run, hit[run["run_id"]])
    return checked


def _set_aside(store: Store, path: Path, rows: set[int] | None, folder: Path) -> None:
    """Moves a file, or has a copy without some of its rows take its place."""
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
    """What it cost a run (a row of ``check_runs``) that files of some kinds were set aside, and what to do about it."""
    name = f"run {run['run_id']}"
    if "battles" in kinds and run["kind"] is not None and run["stored"] < run["scheduled"]:
        again = "take them in" if run["kind"] == "import" else "play them"
        command = "ingest" if run["kind"] == "import" else f"{run['kind']} --resume"
        yield (
            f"{name} has {run['stored']:,} of {run['scheduled']:,} battles: {again} again with `pokeladder {command}`"
        )
    if kinds & {"trajectories", "documents"} and run["untold"]:
        yield f"{run['untold']:,} battles of {name} have no trajectories now"
    if "server_battles" in kinds and run["unsaid"]:
        yield f"what the server said of {run['unsaid']:,} battles of {name} is lost"
    if "points" in kinds and run["unseen"]:
        yield (
            f"by what names {run['unseen']:,} battles of {name} are known is lost: their battle logs may come in twice"
        )


def _cannot_set_aside(store: Store, error: OSError) -> StoreError:
    return StoreError(f"cannot set files aside in {store.folder}: {error}; make it writable, and run the same again")
