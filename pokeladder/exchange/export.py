"""Training sets: trajectories selected in SQL, written so that metamon trains on them."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from bisect import bisect_left
from collections.abc import Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Literal

import duckdb
import lz4.frame
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from duckdb import ColumnExpression, ConstantExpression

from pokeladder.errors import InterruptedRunError, StoreError, UsageError
from pokeladder.metamon import files as metamon_files
from pokeladder.metamon.files import BrokenFileError
from pokeladder.progress import FileCounter, FileWatch
from pokeladder.query import statements, views
from pokeladder.query.texts import query_text
from pokeladder.store.files import Store

STATS_FILE = "filtering_stats.json"
PARQUET_FILE = "trajectories.parquet"
WATCH_SECONDS = 0.25
# Documents are read so many bytes at a time.
PART_BYTES = 4 << 20
# Each holds a page of documents, 32 MB in files of earlier versions: few trajectories are not worth several.
THREADS = 4
FEW = 2000
# Lines of the digest are read so many at a time.
LINES = 10_000
_KEY = ["document_file", "trajectory_id"]
# Most documents are one block: a third faster than in small ones.
LZ4_BLOCK = lz4.frame.BLOCKSIZE_MAX1MB

Target = Literal["metamon", "parquet"]


@dataclass(frozen=True)
class Filters:
    """Which trajectories to export; see :meth:`pokeladder.Ladder.export_filtered` for each."""

    max_invalid_rate: float = 0.05
    min_steps: int = 10
    max_steps: int = 1000
    balance_outcomes: bool = False
    seed: int = 42
    where: str | None = None
    agents: tuple[str, ...] | None = None
    battle_format: str | None = None
    run: str | None = None
    since: datetime | None = None
    limit: int | None = None

    def settings(self) -> dict[str, Any]:
        """The filters under the names that :data:`STATS_FILE` has for them; turns are steps there."""
        return {
            "max_invalid_rate": self.max_invalid_rate,
            "min_turns": self.min_steps,
            "max_turns": self.max_steps,
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
class Exported:
    """What an export has selected, what its folder held before included.

    Attributes:
        input_count: trajectories in scope, or there before.
        output_count: those selected, or there before; ``wins``, ``losses`` and ``ties`` of them.
        failed_reasons: how many were too_short, too_long or had too many invalid_actions.
        removed: how many were left out for balance, or for the limit.
        digest: SHA-256 over names and contents of the set.
        there, of_others: trajectories that the folder held before, and those of them that the store does not have.
        unrecorded: trajectories of battles in scope that could not be recorded when they were played.
    """

    input_count: int
    output_count: int
    wins: int
    losses: int
    ties: int
    failed_reasons: Mapping[str, int]
    removed: Mapping[str, int]
    digest: str
    there: int = 0
    of_others: int = 0
    unrecorded: int = 0


def export_filtered(
    store: Store,
    output_dir: Path | None,
    filters: Filters,
    *,
    to: Target,
    overwrite: bool,
    append: bool,
    watch: FileWatch,
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
    # DuckDB estimates rows by the first file of a source, the empty one, and would hash the wider side of each join.
    connection.execute("SET disabled_optimizers = 'build_side_probe_side'")
    limit = filters.limit
    if append and output_dir is not None:
        limit = _limit(output_dir, filters, to, _find(connection, output_dir, to))
    else:
        _list(connection, [])
    _select(connection, filters, limit)
    (counts,) = statements.tuples(connection, "export_counts")
    scope, held, wins, losses, ties, there, of_others, left_out = counts
    digest = _digest(connection)
    removed = {reason: left_out.pop(reason) for reason in ("balance", "limit") if reason in left_out}
    unrecorded = _unrecorded(connection, filters)
    exported = Exported(scope, held, wins, losses, ties, left_out, removed, digest, there, of_others, unrecorded)
    if output_dir is None:
        return exported
    selected = held - there
    files = _files(connection, store.folder / "documents")
    ((store_digest,),) = statements.tuples(connection, "export_store")
    stats = _stats(store, output_dir, filters, to, exported, store_digest)
    table = statements.arrow_table(statements.query(connection, "export_rows")) if to == "parquet" else None
    # What selecting took is for the documents now.
    connection.close()
    progress = FileCounter(selected, watch)
    try:
        _prepare(output_dir, stats, overwrite=overwrite, append=append)
        if table is not None:
            _write_parquet(table, output_dir, files, progress, append=append)
        else:
            _write_files(output_dir, files, progress)
        # What is said to be complete shall be so after a crash of the machine, too.
        os.sync()
        _write_text(output_dir / STATS_FILE, json.dumps({**stats, "complete": True}, indent=2))
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"{progress.done} of {selected} trajectories are in {output_dir}, each whole: "
            "the same command completes the set"
        ) from None
    except OSError as error:
        raise StoreError(
            f"cannot write to {output_dir}: {error}; what is there is whole, and the same command completes the set"
        ) from error
    progress.tell()
    return exported


def _find(connection: duckdb.DuckDBPyConnection, output_dir: Path, to: Target) -> int:
    """Makes the tables of what the folder holds already; how many trajectories that is.

    Raises:
        UsageError: something in it is no trajectory, or it was written in another form.
    """
    if _stats_there(output_dir).get("to", to) != to:
        raise UsageError(f"{output_dir} was not written with --to {to}: add to it as it was, or name another folder")
    if to == "parquet":
        columns = "format, file_name, result, digest"
        paths = sorted(map(str, output_dir.glob(f"*/{PARQUET_FILE}")))
        try:
            listed = [row for path in paths for row in connection.read_parquet(path).project(columns).fetchall()]
        except duckdb.Error as error:
            raise UsageError(f"{output_dir} holds a {PARQUET_FILE} that cannot be added to: {error}") from error
    else:
        listed = [(path.parent.name, path.name, None, None) for path in output_dir.glob("*/*.json.lz4")]
    _list(connection, listed)
    if to == "metamon":
        unknown = connection.sql("SELECT format, file_name FROM there WHERE digest IS NULL").fetchall()
        for folder, name in unknown:
            result, digest = _of_others(output_dir / folder / name)
            connection.execute(
                "UPDATE there SET result = $result, digest = $digest WHERE format = $format AND file_name = $name",
                {"result": result, "digest": digest, "format": folder, "name": name},
            )
    return len(listed)


def _list(connection: duckdb.DuckDBPyConnection, listed: Sequence[tuple[str, str, str | None, str | None]]) -> None:
    """Makes the tables ``kept`` and ``there`` of a listing of format, name of file, result and digest."""
    columns = ("format", "file_name", "result", "digest")
    arrays = [pa.array([row[number] for row in listed], pa.string()) for number in range(len(columns))]
    connection.register("listed", pa.table(arrays, columns))
    for name in ("kept", "there"):
        query = statements.query(connection, f"export_{name}")
        with statements.query_errors(query_text(f"export_{name}")):
            # To name all trajectories of a store takes a second.
            (query if listed else query.limit(0)).create(name)


def _of_others(path: Path) -> tuple[str, str]:
    """The result and the digest of a trajectory that the store does not have.

    Raises:
        UsageError: it is none.
    """
    try:
        name = metamon_files.parse_name(metamon_files.stem(path))
        document = metamon_files.read_document(path)
    except BrokenFileError as error:
        raise UsageError(
            f"cannot add to {path.parent.parent}: {path}: {error}; take it out, or name another folder"
        ) from error
    return name.result, hashlib.sha256(document).hexdigest()


def _limit(output_dir: Path, filters: Filters, to: Target, there: int) -> int | None:
    """How many trajectories to add at most: the rest, where the same call was stopped before."""
    stats = _stats_there(output_dir)
    try:
        goes_on = not stats["complete"] and stats["filters"] == filters.settings() and stats["to"] == to
        return filters.limit if filters.limit is None or not goes_on else max(stats["output_count"] - there, 0)
    except (KeyError, TypeError):
        return filters.limit


def _stats_there(output_dir: Path) -> dict[str, Any]:
    """What an earlier call says of the folder; empty if there was none."""
    try:
        found = json.loads((output_dir / STATS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _select(connection: duckdb.DuckDBPyConnection, filters: Filters, limit: int | None) -> None:
    """Makes the tables ``judged`` (rows of ``export_selection``) and ``selection`` (rows of ``export_selected``)."""
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
        conditions.append(ColumnExpression("played_at") >= ConstantExpression(_utc(filters.since)))
    with statements.query_errors(filters.where or query_text("export_selection")):
        scope = connection.table("trajectories")
        for condition in conditions:
            scope = scope.filter(condition)
        scope.create_view("scope")
        parameters = {
            "max_invalid_rate": filters.max_invalid_rate,
            "min_steps": filters.min_steps,
            "max_steps": filters.max_steps,
            "balance": filters.balance_outcomes,
            "seed": str(filters.seed),
            "limit": limit,
        }
        statements.query(connection, "export_selection", parameters).create("judged")
        statements.materialise(connection, "export_selected", "selection")


def _digest(connection: duckdb.DuckDBPyConnection) -> str:
    """SHA-256, in hexadecimal, of the rows of ``export_lines``, joined by line feeds."""
    digest, between = hashlib.sha256(), ""
    lines = statements.query(connection, "export_lines")
    with statements.query_errors(query_text("export_lines")):
        for batch in lines.to_arrow_reader(LINES):
            digest.update((between + "\n".join(batch.column(0).to_pylist())).encode())
            between = "\n"
    return digest.hexdigest()


def _files(connection: duckdb.DuckDBPyConnection, folder: Path) -> list[tuple[Path, pa.Table]]:
    """Files of documents with the rows of ``export_files`` that are of each."""
    table = statements.arrow_table(statements.query(connection, "export_files", {"folder": str(folder)}))
    # Not threaded, groups come in the order of the rows.
    counts = table.group_by("file", use_threads=False).aggregate([([], "count_all")])
    numbers = counts.column("count_all").to_pylist()
    starts = accumulate(numbers, initial=0)
    return [
        (Path(file), table.slice(start, number))
        for file, start, number in zip(counts.column("file").to_pylist(), starts, numbers, strict=False)
    ]


def _unrecorded(connection: duckdb.DuckDBPyConnection, filters: Filters) -> int:
    parameters = {
        "format": filters.battle_format,
        "run": filters.run,
        "since": _utc(filters.since),
        "agents": list(filters.agents) if filters.agents is not None else None,
    }
    ((count,),) = statements.tuples(connection, "export_unrecorded", parameters)
    return int(count)


def _utc(moment: datetime | None) -> datetime | None:
    """A time in UTC without a zone, as the store's views have it."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment is not None and moment.tzinfo else moment


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
        "already_there": exported.there,
        "of_others": exported.of_others,
        "unrecorded": exported.unrecorded,
        "selection_digest": exported.digest,
        "store_digest": store_digest,
        "sql": query_text("export_selection"),
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
    there = _stats_there(output_dir)
    return all(there.get(key) == stats[key] for key in ("selection_digest", "to"))


def _write_files(output_dir: Path, files: Sequence[tuple[Path, pa.Table]], progress: FileCounter) -> None:
    """Writes a file a trajectory, in some threads."""
    for folder in {name for _, chosen in files for name in chosen.column("format").unique().to_pylist()}:
        (output_dir / folder).mkdir(exist_ok=True)
    stopped = threading.Event()

    def write(path: Path, chosen: pa.Table) -> None:
        # Text: with a Path for each, pathlib would take as long as the compression.
        places = dict(zip(_keys(chosen), _columns(chosen, ["format", "file_name"]), strict=True))
        for documents in _documents(path, places):
            for key, document in documents:
                if stopped.is_set():
                    return
                folder, name = places[key]
                _write_bytes(f"{output_dir}/{folder}", name, lz4.frame.compress(document, block_size=LZ4_BLOCK))
            progress.add(len(documents))

    threads = min(THREADS, os.cpu_count() or 1) if progress.files > FEW else 1
    with ThreadPoolExecutor(threads) as pool:
        running = {pool.submit(write, *file) for file in files}
        try:
            while running:
                done, running = wait(running, WATCH_SECONDS)
                for future in done:
                    future.result()
                progress.tell()
        except BaseException:
            stopped.set()
            raise


def _write_parquet(
    selected: pa.Table,
    output_dir: Path,
    files: Sequence[tuple[Path, pa.Table]],
    progress: FileCounter,
    *,
    append: bool,
) -> None:
    """Writes a file a format: the columns of ``trajectories``, and the document as text.

    Args:
        selected: the rows of the selection.
        append: take over the rows of the files that are there.
    """
    formats = sorted(set(selected.column("format").to_pylist()))
    rows = {key: number for number, key in enumerate(_keys(selected))}
    schema = selected.schema.append(pa.field("document", pa.string()))
    paths = {name: output_dir / name / PARQUET_FILE for name in formats}
    staged = {name: path.with_name(f".{path.name}.tmp") for name, path in paths.items()}
    for path in paths.values():
        path.parent.mkdir(exist_ok=True)
    writers = {name: pq.ParquetWriter(path, schema, compression="zstd") for name, path in staged.items()}
    try:
        for name in formats if append else ():
            for table in _rows_there(paths[name], schema):
                writers[name].write_table(table)
        for path, chosen in files:
            for documents in _documents(path, set(_keys(chosen))):
                part = selected.take([rows[key] for key, _ in documents])
                part = part.append_column(
                    schema.field("document"), [[bytes(document).decode() for _, document in documents]]
                )
                for name in formats:
                    of_format = part.filter(pa.compute.equal(part.column("format"), name))
                    if len(of_format):
                        writers[name].write_table(of_format)
                progress.add(len(documents))
                progress.tell()
        for name, writer in writers.items():
            writer.close()
            staged[name].rename(paths[name])
    except BaseException:
        for name, writer in writers.items():
            with suppress(OSError):
                writer.close()
            staged[name].unlink(missing_ok=True)
        raise


def _rows_there(path: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of an earlier export to Parquet, if there was one; columns that it lacks are NULL.

    Raises:
        UsageError: it has other columns.
    """
    if not path.exists():
        return
    with pq.ParquetFile(path) as file:
        if not set(file.schema_arrow.names) <= set(schema.names):
            raise UsageError(f"{path} has columns of its own and cannot be added to: name another folder")
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            columns = [
                table.column(column.name).cast(column.type)
                if column.name in table.column_names
                else pa.nulls(len(table), column.type)
                for column in schema
            ]
            yield pa.table(columns, schema=schema)


def _keys(table: pa.Table) -> list[tuple[str, ...]]:
    """By what documents are found: a killed process may have left another one of the same trajectory."""
    return _columns(table, _KEY)


def _columns(table: pa.Table, names: Sequence[str]) -> list[tuple[str, ...]]:
    return list(zip(*(table.column(name).to_pylist() for name in names), strict=True))


def _documents(path: Path, wanted: Container[tuple[str, ...]]) -> Iterator[list[tuple[tuple[str, ...], memoryview]]]:
    """Keys and documents of the wanted trajectories in a file of documents, some at a time.

    Raises:
        StoreError: the file is missing or broken.
    """
    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                keys = _keys(file.read_row_group(group, _KEY, use_threads=False))
                places = [place for place, key in enumerate(keys) if key in wanted]
                if not places:
                    continue
                size = max(1, PART_BYTES * len(keys) // max(1, file.metadata.row_group(group).total_byte_size))
                begin = 0
                for batch in file.iter_batches(size, [group], ["document"], use_threads=False):
                    end = begin + len(batch)
                    here = places[bisect_left(places, begin) : bisect_left(places, end)]
                    if here:
                        documents = _views(batch.column(0))
                        yield [(keys[place], documents[place - begin]) for place in here]
                    begin = end
                    if end > places[-1]:
                        break
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
