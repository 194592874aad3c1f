"""Training sets: trajectories selected in SQL, written so that metamon trains on them."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import duckdb
import lz4.frame
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from duckdb import ColumnExpression, ConstantExpression

from pokeladder import views
from pokeladder.errors import InterruptedRunError, StoreError, UsageError
from pokeladder.statements import statement
from pokeladder.store import Store

STATS_FILE = "filtering_stats.json"
PARQUET_FILE = "trajectories.parquet"
WATCH_SECONDS = 0.25
_KEY = ["document_file", "trajectory_id"]
# Most documents are one block: a third faster than in small ones.
LZ4_BLOCK = lz4.frame.BLOCKSIZE_MAX1MB

Target = Literal["metamon", "parquet"]


@dataclass(frozen=True)
class Filters:
    """Which trajectories to export; see :meth:`pokeladder.Ladder.export_filtered` for each."""

    max_invalid_rate: float = 0.05
    min_turns: int = 10
    max_turns: int = 1000
    balance_outcomes: bool = False
    seed: int = 42
    where: str | None = None
    agents: tuple[str, ...] | None = None
    battle_format: str | None = None
    run: str | None = None
    since: datetime | None = None
    limit: int | None = None

    def settings(self) -> dict[str, Any]:
        return {
            "max_invalid_rate": self.max_invalid_rate,
            "min_turns": self.min_turns,
            "max_turns": self.max_turns,
            "balance_outcomes": self.balance_outcomes,
            "seed": self.seed,
            "where": self.where,
            "agents": list(self.agents) if self.agents is not None else None,
            "format": self.battle_format,
            "run": self.run,
            "since": self.since.isoformat() if self.since is not None else None,
            "limit": self.limit,
        }


@dataclass(frozen=True)
class ExportProgress:
    """How far an export is.

    Attributes:
        written: files (rows, of Parquet) so far, of ``files``.
        seconds: since the first.
    """

    written: int
    files: int
    seconds: float


@dataclass(frozen=True)
class Exported:
    """What an export has selected.

    Attributes:
        input_count: trajectories in scope.
        output_count: those selected; ``wins``, ``losses`` and ``ties`` of them.
        failed_reasons: how many were too_short, too_long or had too many invalid_actions.
        removed: how many were left out for balance, or for the limit.
        digest: SHA-256 over names and contents of the selection.
    """

    input_count: int
    output_count: int
    wins: int
    losses: int
    ties: int
    failed_reasons: Mapping[str, int]
    removed: Mapping[str, int]
    digest: str


def export_filtered(
    store: Store,
    output_dir: Path | None,
    filters: Filters,
    *,
    to: Target,
    overwrite: bool,
    append: bool,
    watch: Callable[[ExportProgress], None],
) -> Exported:
    """Selects trajectories and writes them; without an output folder it only counts.

    Raises:
        UsageError: the output folder holds something else, or options contradict each other.
        QueryError: ``where`` is not a condition over ``trajectories``.
        StoreError: a document cannot be read, or a file not written.
        InterruptedRunError: the user stopped it; the files so far are whole, and the same call completes the set.
    """
    if overwrite and append:
        raise UsageError("--overwrite and --append contradict each other: choose one")
    connection = views.connect(store.files)
    _select(connection, filters)
    (counts,) = views.fetched(views.query(connection, "export_counts"))
    scope, selected, wins, losses, ties, left_out, digest = counts
    removed = {reason: left_out.pop(reason) for reason in ("balance", "limit") if reason in left_out}
    exported = Exported(scope, selected, wins, losses, ties, left_out, removed, digest)
    if output_dir is None:
        return exported
    rows = views.fetched(views.query(connection, "export_files", {"folder": str(store.folder / "documents")}))
    ((store_digest,),) = views.fetched(views.query(connection, "export_store"))
    files = [(Path(file), chosen) for file, chosen in rows]
    stats = _stats(store, output_dir, filters, to, exported, store_digest)
    progress = _Progress(selected, watch)
    try:
        _prepare(output_dir, stats, overwrite=overwrite, append=append)
        if to == "parquet":
            _write_parquet(connection, output_dir, files, progress)
        else:
            _write_files(output_dir, files, progress)
        # What is said to be complete shall be so after a crash of the machine, too.
        os.sync()
        _write_text(output_dir / STATS_FILE, json.dumps({**stats, "complete": True}, indent=2))
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"{progress.written} of {selected} trajectories are in {output_dir}, each whole: "
            "the same command completes the set"
        ) from None
    except OSError as error:
        raise StoreError(
            f"cannot write to {output_dir}: {error}; what is there is whole, and the same command completes the set"
        ) from error
    progress.show()
    return exported


class _Progress:
    """Counts what several threads write."""

    def __init__(self, files: int, watch: Callable[[ExportProgress], None]) -> None:
        self._files = files
        self._watch = watch
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self.written = 0

    def add(self, number: int) -> None:
        with self._lock:
            self.written += number

    def show(self) -> None:
        self._watch(ExportProgress(self.written, self._files, time.monotonic() - self._started))


def _select(connection: duckdb.DuckDBPyConnection, filters: Filters) -> None:
    """Makes the table ``selection`` of every trajectory in scope, and why those are left out that are."""
    conditions = []
    if filters.where is not None:
        conditions.append(views.condition(connection, "trajectories", filters.where))
    for column, value in (("format", filters.battle_format), ("run_id", filters.run)):
        if value is not None:
            conditions.append(ColumnExpression(column) == ConstantExpression(value))
    if filters.agents is not None:
        # IN () is no SQL; nothing is IN (NULL).
        conditions.append(ColumnExpression("agent").isin(*map(ConstantExpression, filters.agents or (None,))))
    if filters.since is not None:
        since = filters.since.astimezone(UTC).replace(tzinfo=None) if filters.since.tzinfo else filters.since
        conditions.append(ColumnExpression("played_at") >= ConstantExpression(since))
    with views.query_errors(filters.where or statement("export_selection")):
        scope = connection.table("trajectories")
        for condition in conditions:
            scope = scope.filter(condition)
        scope.create_view("scope")
        parameters = {
            "max_invalid_rate": filters.max_invalid_rate,
            "min_steps": filters.min_turns,
            "max_steps": filters.max_turns,
            "balance": filters.balance_outcomes,
            "seed": str(filters.seed),
            "limit": filters.limit,
        }
        views.query(connection, "export_selection", parameters).create("selection")


def _stats(
    store: Store, output_dir: Path, filters: Filters, to: Target, exported: Exported, store_digest: str
) -> dict[str, Any]:
    """The content of ``filtering_stats.json``: the old pipeline's keys first."""
    return {
        "input_dir": str(store.folder),
        "output_dir": str(output_dir),
        "input_count": exported.input_count,
        "output_count": exported.output_count,
        "filter_rate": exported.output_count / exported.input_count if exported.input_count else 0.0,
        "filters": filters.settings(),
        "failed_reasons": dict(exported.failed_reasons),
        "removed": dict(exported.removed),
        "results": {"WIN": exported.wins, "LOSS": exported.losses, "TIE": exported.ties},
        "to": to,
        "selection_digest": exported.digest,
        "store_digest": store_digest,
        "sql": statement("export_selection"),
        "pokeladder_version": version("pokeladder"),
        "complete": False,
    }


def _prepare(output_dir: Path, stats: Mapping[str, Any], *, overwrite: bool, append: bool) -> None:
    """Makes the folder ready, and says in it what it is going to hold.

    Raises:
        UsageError: it holds something else.
    """
    if output_dir.exists() and not output_dir.is_dir():
        raise UsageError(f"{output_dir} is a file: name a folder with --output-dir")
    output_dir.mkdir(parents=True, exist_ok=True)
    # Those of a call that was killed.
    for path in [*output_dir.glob(".*.tmp"), *output_dir.glob("*/.*.tmp")]:
        path.unlink()
    if any(output_dir.iterdir()) and not append and not overwrite and not _is_the_same(output_dir, stats):
        raise UsageError(
            f"{output_dir} is not empty: replace the trajectories in it with --overwrite, add to them with --append, "
            "or name another folder"
        )
    _write_text(output_dir / STATS_FILE, json.dumps(stats, indent=2))
    if overwrite:
        for path in [*output_dir.glob("*/*.json.lz4"), *output_dir.glob(f"*/{PARQUET_FILE}")]:
            path.unlink()


def _is_the_same(output_dir: Path, stats: Mapping[str, Any]) -> bool:
    """Whether an earlier call began to write this selection there."""
    try:
        there = json.loads((output_dir / STATS_FILE).read_text(encoding="utf-8"))
        return all(there[key] == stats[key] for key in ("selection_digest", "to"))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _write_files(
    output_dir: Path, files: Sequence[tuple[Path, Sequence[Mapping[str, str]]]], progress: _Progress
) -> None:
    """Writes a file a trajectory on all cores."""
    for folder in {Path(chosen["path"]).parent for _, trajectories in files for chosen in trajectories}:
        (output_dir / folder).mkdir(exist_ok=True)
    stopped = threading.Event()

    def write(path: Path, trajectories: Sequence[Mapping[str, str]]) -> None:
        # Text: with a Path for each, pathlib would take as long as the compression.
        places = {_key(chosen): chosen["path"].split("/") for chosen in trajectories}
        for documents in _documents(path, places):
            for key, document in documents:
                if stopped.is_set():
                    return
                folder, name = places[key]
                _write_bytes(f"{output_dir}/{folder}", name, lz4.frame.compress(document, block_size=LZ4_BLOCK))
            progress.add(len(documents))

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        running = {pool.submit(write, *file) for file in files}
        try:
            while running:
                done, running = wait(running, WATCH_SECONDS)
                for future in done:
                    future.result()
                progress.show()
        except BaseException:
            stopped.set()
            raise


def _write_parquet(
    connection: duckdb.DuckDBPyConnection,
    output_dir: Path,
    files: Sequence[tuple[Path, Sequence[Mapping[str, str]]]],
    progress: _Progress,
) -> None:
    """Writes a file a format: the columns of ``trajectories``, and the document as text."""
    selected = connection.sql("SELECT * EXCLUDE (left_out) FROM selection WHERE left_out IS NULL").to_arrow_table()
    formats = sorted(set(selected.column("format").to_pylist()))
    rows = {key: number for number, key in enumerate(_keys(selected))}
    schema = selected.schema.append(pa.field("document", pa.string()))
    paths = {name: output_dir / name / PARQUET_FILE for name in formats}
    staged = {name: path.with_name(f".{path.name}.tmp") for name, path in paths.items()}
    for path in paths.values():
        path.parent.mkdir(exist_ok=True)
    writers = {name: pq.ParquetWriter(path, schema, compression="zstd") for name, path in staged.items()}
    try:
        for path, trajectories in files:
            for documents in _documents(path, set(map(_key, trajectories))):
                part = selected.take([rows[key] for key, _ in documents])
                part = part.append_column(
                    schema.field("document"), [[bytes(document).decode() for _, document in documents]]
                )
                for name in formats:
                    of_format = part.filter(pa.compute.equal(part.column("format"), name))
                    if len(of_format):
                        writers[name].write_table(of_format)
                progress.add(len(documents))
                progress.show()
        for name, writer in writers.items():
            writer.close()
            staged[name].rename(paths[name])
    except BaseException:
        for name, writer in writers.items():
            with suppress(OSError):
                writer.close()
            staged[name].unlink(missing_ok=True)
        raise


def _key(row: Mapping[str, str]) -> tuple[str, ...]:
    """By what a document is found: a killed process may have left another one of the same trajectory."""
    return tuple(row[name] for name in _KEY)


def _keys(table: pa.Table) -> list[tuple[str, ...]]:
    return list(zip(*(table.column(name).to_pylist() for name in _KEY), strict=True))


def _documents(path: Path, wanted: Container[tuple[str, ...]]) -> Iterator[list[tuple[tuple[str, ...], memoryview]]]:
    """Keys and documents of the wanted trajectories in a file of documents, one row group at a time.

    Raises:
        StoreError: the file is missing or broken.
    """
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            for group in range(file.num_row_groups):
                keys = _keys(file.read_row_group(group, _KEY, use_threads=False))
                places = [place for place, key in enumerate(keys) if key in wanted]
                if places:
                    column = file.read_row_group(group, ["document"], use_threads=False).column(0)
                    documents = [document for chunk in column.chunks for document in _views(chunk)]
                    yield [(keys[place], documents[place]) for place in places]
    except (FileNotFoundError, pa.ArrowException) as error:
        raise StoreError(
            f"the documents in {path} cannot be read: {error}; `pokeladder check --repair` sets them aside"
        ) from error


def _views(column: pa.Array) -> list[memoryview]:
    """The values of a binary array, not copied."""
    _, offsets, data = column.buffers()
    bounds = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1].tolist()
    content = memoryview(data)
    return [content[begin:end] for begin, end in pairwise(bounds)]


def _write_bytes(folder: str, name: str, content: bytes) -> None:
    """Makes a file that is whole as soon as it is there."""
    staged = f"{folder}/.{name}.tmp"
    try:
        file = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(file, rest) :]
        finally:
            os.close(file)
        os.replace(staged, f"{folder}/{name}")  # noqa: PTH105
    except BaseException:
        with suppress(OSError):
            os.unlink(staged)  # noqa: PTH108
        raise


def _write_text(path: Path, text: str) -> None:
    _write_bytes(str(path.parent), path.name, f"{text}\n".encode())
