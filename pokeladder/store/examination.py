"""Reading every file of a store by itself, and finding what is wrong with it.

The views are of no use here: one broken file makes every query fail that reads files of its kind. Each file is read
completely, the columns by which rows are found go into tables (:data:`TABLES`), and queries find the faults
(``sql/queries/check_*.sql``).
"""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pokeladder.errors import StoreError
from pokeladder.progress import FileCounter, FileWatch
from pokeladder.query import statements
from pokeladder.query.databases import OnDisk
from pokeladder.query.texts import query_text, text
from pokeladder.store.files import GRACE_SECONDS, Store
from pokeladder.store.schemas import SCHEMAS, conformed

# Columns of each kind, besides file and row. Kinds are read in this order, each after those that refer to it. They are
# written in the reverse order, so that no row read refers to one that was written later.
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
# Pairs of equal battles named in a note.
PAIRS_SHOWN = 3
# Rows are inserted in parts of this size.
PART_BYTES = 32 << 20


@dataclass(frozen=True)
class Fault:
    """A fault of a file.

    Attributes:
        leftover: True if it is harmless: no view reads the file or row.
        kind: folder of the file.
        file: path of the file, relative to the store's folder.
        rows: number of rows concerned; None for the whole file.
    """

    leftover: bool
    kind: str
    file: str
    reason: str
    rows: int | None

    @property
    def run_id(self) -> str:
        """The run of the file; empty if it belongs to none."""
        return run_of(Path(self.file))


@dataclass
class Checked:
    """The result of a check.

    Attributes:
        files, size: number of files that readers use, and their size in bytes.
        battles, trajectories, documents, runs: numbers of those that could be read.
        faults: faults that lose rows or make queries fail.
        leftovers: remains of killed processes, which no view reads.
        notes: remarks that need no action.
        set_aside: folder to which files were moved; None if none was.
        costs: what was lost by that, with remedies.
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


class Examination:
    """The rows of a store's files, in a database of its own.

    Attributes:
        stamps: the files as they were listed.
        faults: faults and leftovers.
        originals: existing files from which a broken file was merged.
    """

    def __init__(self, store: Store, watch: FileWatch) -> None:
        self._store = store
        self.stamps = stamps_of(store)
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
        # Merges decide which of the other files readers use.
        self._read_all([path for path in self.stamps if path.parts[0] == "merges"])
        hidden = self._ask("check_hidden")
        visible = [path for path in self.stamps if path.parts[0] != "merges" and str(path) not in hidden]
        self._read_all(visible)
        # The files from which a broken one was merged may still exist.
        found = map(Path, self._ask("check_originals"))
        self.originals = sorted(path for path in found if (store.folder / path).exists())
        self._read_all(self.originals)
        self.files = len(visible) + len(self.originals)
        self.size = sum((store.folder / path).stat().st_size for path in [*visible, *self.originals])
        for query, leftover in (("check_faults", False), ("check_leftovers", True)):
            with statements.query_errors(query_text(query)):
                statements.query(self.connection, query).project(f"{leftover}, *").insert_into("faults")
        for path in _unfinished(store):
            self._fault(path, "a killed process left it unfinished", leftover=True)
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
                f"the settings of run {run['run_id']} are lost: its {run['stored']:,} battles count, but it cannot be "
                "resumed"
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
                "repeated_battles lists all)"
            )

    def _unrecorded(self) -> Iterator[str]:
        for row in statements.rows(self.connection, "check_unrecorded"):
            yield f"{row['missing']:,} trajectories of run {row['run_id']} could not be recorded"

    def runs(self) -> list[dict[str, Any]]:
        """Rows of ``sql/queries/check_runs.sql``."""
        return statements.rows(self.connection, "check_runs")

    def rows_of(self, file: str) -> set[int] | None:
        """The numbers of a file's rows that have a fault; None if the whole file has."""
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
            self._fault(path, "it is not a file of a store")
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
            raise StoreError(f"{path} was removed during the check: run `pokeladder check` again") from error
        except (OSError, pa.ArrowException) as error:
            self._flush(kind)
            self.connection.execute(f"DELETE FROM {kind} WHERE file = $file", {"file": str(path)})  # noqa: S608
            reason = str(error).rstrip(".")
            self._fault(path, f"it cannot be read, so that all queries about {kind} fail: {reason}")

    def _add(self, kind: str, rows: pa.Table) -> None:
        self._part.append(rows)
        if sum(table.nbytes for table in self._part) >= PART_BYTES:
            self._flush(kind)

    def _flush(self, kind: str) -> None:
        """Inserts the rows that were read, all of one kind, into their table."""
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


def run_of(path: Path) -> str:
    """The run of a file, given relative to the store's folder; empty if it belongs to none."""
    if path.parts[0] == "unfinished":
        return path.name.split(".")[1]
    if len(path.parts) > 2:
        return path.parts[1]
    return path.name.split(".")[0] if len(path.parts) > 1 else ""


def stamps_of(store: Store) -> dict[Path, tuple[int, int]]:
    """Size and time of change of the files that queries list, by path relative to the store's folder."""
    stamps = {}
    for kind in TABLES:
        for path in sorted((store.folder / kind).rglob("*")):
            with suppress(FileNotFoundError):
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    stamps[path.relative_to(store.folder)] = (status.st_size, status.st_mtime_ns)
    return stamps


def changed(before: Mapping[Path, object], after: Mapping[Path, object]) -> set[Path]:
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


def _columns(kind: str) -> str:
    return f"_file AS file, _row AS row, {TABLES[kind]}"


def _placed(table: pa.Table, path: Path, begin: int) -> pa.Table:
    """The columns of :data:`TABLES`, with the file and the number of each row."""
    kind = path.parts[0]
    wanted = [name for name in table.column_names if re.search(rf"\b{name}\b", TABLES[kind])]
    numbers = pa.array(range(begin, begin + len(table)), pa.int64())
    files = pa.array([str(path)] * len(table), pa.string())
    return table.select(wanted).append_column("_file", files).append_column("_row", numbers)


def _unfinished(store: Store) -> Iterator[Path]:
    """Unfinished files, relative to the store's folder, that no living process can be writing."""
    for path in sorted([*store.folder.glob(".*.tmp"), *(store.folder / "unfinished").iterdir()]):
        found = path.relative_to(store.folder)
        with suppress(FileNotFoundError):
            # Files of no run are not locked, but written within seconds.
            if run_of(found) not in ("", "none") or time.time() - path.lstat().st_mtime > GRACE_SECONDS:
                yield found
