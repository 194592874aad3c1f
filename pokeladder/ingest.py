"""Taking in what metamon has written: trajectories and battle logs become the battles of one run.

Files are read and summarised in parallel, some hundred at a time; only the summaries are kept until all are there.
Then the points of view are paired into battles, in SQL (``sql/queries/ingest_*.sql``).
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import duckdb
import pyarrow as pa

from pokeladder import metamon_files, views
from pokeladder.errors import InterruptedRunError, UsageError
from pokeladder.metamon_files import BrokenFileError, LogRow
from pokeladder.records import Run
from pokeladder.store import BATTLE_SCHEMA, POINT_SCHEMA, TRAJECTORY_SCHEMA, DocumentFile, Store, new_run_id
from pokeladder.summaries import Summariser, binary_array

# Enough at once to make columns worth their while, and little enough that all threads' share stays small.
FILES_AT_ONCE = 64
DOCUMENTS_A_FILE = 2048
BATTLES_A_FILE = 50_000
WATCH_SECONDS = 0.25
MEMORY_LIMIT = "512MB"
TOURNAMENT_FILE = "tournament_results.json"
# What the old pipeline writes beside trajectories.
NO_TRAJECTORIES = frozenset({TOURNAMENT_FILE, "filtering_stats.json", "elo_results_ratings.json"})
# What the name of a trajectory's file tells, and where its document went.
FACTS = pa.schema(
    [
        ("trajectory_id", pa.string()),
        ("name", pa.string()),
        ("source", pa.string()),
        ("digest", pa.string()),
        ("record", pa.string()),
        ("format", pa.string()),
        ("rating", pa.int32()),
        ("player", pa.string()),
        ("opponent", pa.string()),
        ("played_at", pa.timestamp("us")),
        ("has_time", pa.bool_()),
        ("document_file", pa.string()),
    ]
)


@dataclass(frozen=True)
class IngestProgress:
    """How far an ingest is.

    Attributes:
        read: trajectory files that have been read, of ``files`` to read.
        seconds: since the first.
    """

    read: int
    files: int
    seconds: float


@dataclass
class Ingested:
    """What an ingest has added to the store.

    Attributes:
        run_id: of the run that owns the battles; None if there was nothing new.
        trajectories, battles: how many were added.
        half_known: of these battles, those known from one side only.
        already_there: trajectory files and rows of battle logs that the store had.
        broken: file or line, and what is wrong with it.
        unsure: points of view kept apart although they may be of one battle, and the players of one of them.
    """

    run_id: str | None = None
    trajectories: int = 0
    battles: int = 0
    half_known: int = 0
    already_there: int = 0
    broken: list[tuple[str, str]] = field(default_factory=list)
    unsure: tuple[int, str, str] | None = None


@dataclass(frozen=True)
class _Found:
    """What lies under the paths."""

    trajectories: list[Path]
    logs: list[Path]
    tournaments: list[Path]


def ingest(
    store: Store,
    paths: Sequence[str | os.PathLike[str]],
    renames: Mapping[str, str],
    watch: Callable[[IngestProgress], None],
) -> Ingested:
    """Adds trajectories and battle logs that the store does not have yet.

    Args:
        paths: files, and folders with all that is under them.
        renames: agents by the user names under which they played; an old ``tournament_results.json`` adds its own.
        watch: told the progress about four times a second.

    Raises:
        UsageError: a path does not exist, or there is nothing to ingest in any.
        StoreError: the store cannot be written; nothing was added.
        InterruptedRunError: the user stopped it; nothing was added.
    """
    found = _find([Path(path) for path in paths])
    ingested = Ingested()
    with store.lock_ingest(), tempfile.TemporaryDirectory(prefix="pokeladder-") as spill:
        connection = views.connect(store.files)
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        connection.execute("SET temp_directory = $folder", {"folder": spill})
        names = _renames(found.tournaments, ingested)
        _create(connection, "renames", {"player": pa.string(), "agent": pa.string()})
        _insert(connection, "renames", [{"player": p, "agent": a} for p, a in {**names, **renames}.items()])
        started_at = datetime.now(UTC)
        run_id = new_run_id(started_at)
        reader = _Reader(store, run_id)
        try:
            new = _new_files(connection, found.trajectories, ingested)
            _read_all(connection, reader, new, ingested, watch)
            _read_logs(connection, found.logs, ingested)
            _store(store, connection, reader, run_id, started_at, paths, ingested)
        except BaseException as error:
            reader.close()
            store.remove_run(run_id)
            if isinstance(error, KeyboardInterrupt):
                told = "nothing was added: the store is as it was; run the same command again"
                raise InterruptedRunError(told) from None
            raise
    return ingested


def _find(paths: Sequence[Path]) -> _Found:
    found = _Found([], [], [])
    seen: set[tuple[str, str]] = set()
    folders: dict[Path, str] = {}
    for path in paths:
        if not path.exists():
            raise UsageError(f"there is no file or folder {path}")
        for file in [path] if path.is_file() else _files_under(path):
            name, folder = file.name, file.parent
            if folder not in folders:
                folders[folder] = os.path.realpath(folder)
            if (folders[folder], name) in seen:
                continue
            seen.add((folders[folder], name))
            if name.startswith("battle_log_") and name.endswith(".csv"):
                found.logs.append(file)
            elif name == TOURNAMENT_FILE:
                found.tournaments.append(file)
            elif name.endswith(metamon_files.SUFFIXES) and name not in NO_TRAJECTORIES:
                found.trajectories.append(file)
    if not found.trajectories and not found.logs:
        raise UsageError(
            f"there is nothing to ingest in {', '.join(map(str, paths))}: "
            "looked for *.json.lz4, *.json and battle_log_*.csv"
        )
    return found


def _files_under(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            yield Path(parent, name)


def _renames(tournaments: Sequence[Path], ingested: Ingested) -> dict[str, str]:
    names: dict[str, str] = {}
    for path in tournaments:
        try:
            names |= metamon_files.models_of_players(path)
        except BrokenFileError as error:
            ingested.broken.append((str(path), str(error)))
    return names


def _new_files(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], ingested: Ingested) -> list[Path]:
    """Those whose names neither the store nor an earlier path has."""
    names = views.query(connection, "ingest_known_names").fetchall()
    known = {name for (name,) in names}
    new = []
    for path in paths:
        name = metamon_files.stem(path)
        if name in known:
            ingested.already_there += 1
        else:
            known.add(name)
            new.append(path)
    return new


@dataclass
class _Shelf:
    """Where one thread puts documents and summaries; used by one at a time."""

    file: DocumentFile
    summariser: Summariser = field(default_factory=Summariser)
    facts: list[dict[str, Any]] = field(default_factory=list)


class _Reader:
    """Reads, summarises and puts aside trajectory files; any number of threads may use it."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._idle: SimpleQueue[_Shelf] = SimpleQueue()
        self._files: list[DocumentFile] = []

    def read(self, paths: Sequence[Path]) -> tuple[pa.Table | None, list[tuple[str, str]]]:
        """Reads files: rows for ``new_trajectories``, if a good many have come together, and what is broken."""
        facts, documents, broken = [], [], []
        for path in paths:
            try:
                fact, document = _read(path)
            except BrokenFileError as error:
                broken.append((str(path), str(error)))
            else:
                facts.append(fact)
                documents.append(document)
        if not facts:
            return None, broken
        try:
            shelf = self._idle.get_nowait()
        except Empty:
            shelf = _Shelf(self._new_file())
        names = [fact["name"] for fact in facts]
        shelf.summariser.read(names, documents)
        shelf.file.append(names, binary_array(documents))
        shelf.facts += facts
        if len(shelf.facts) < DOCUMENTS_A_FILE:
            self._idle.put(shelf)
            return None, broken
        return _summaries(shelf), broken

    def finish(self) -> Iterator[pa.Table]:
        """The rows that :meth:`read` has kept back."""
        while not self._idle.empty():
            yield _summaries(self._idle.get())

    def publish(self) -> None:
        """Makes the documents part of the store."""
        for file in self._files:
            file.publish()
        self._files = []

    def close(self) -> None:
        """Drops documents that are not published."""
        for file in self._files:
            file.discard()

    def _new_file(self) -> DocumentFile:
        file = DocumentFile(self._store, self._run_id, f"ingest-{secrets.token_hex(4)}")
        self._files.append(file)
        return file


def _summaries(shelf: _Shelf) -> pa.Table:
    facts = [{**fact, "document_file": shelf.file.name} for fact in shelf.facts]
    return shelf.summariser.summaries("ingest_summaries", pa.Table.from_pylist(facts, FACTS))


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    text = metamon_files.stem(path)
    name = metamon_files.parse_name(text)
    document = metamon_files.read_document(path)
    fact = {
        "trajectory_id": text,
        "name": text,
        "source": str(path),
        "digest": hashlib.sha256(document).hexdigest(),
        "record": metamon_files.record_id(name.record),
        "format": metamon_files.format_of(name.record),
        "rating": name.rating,
        "player": name.player,
        "opponent": name.opponent,
        "played_at": name.played_at,
        "has_time": name.has_time,
    }
    return fact, document


def _read_all(
    connection: duckdb.DuckDBPyConnection,
    reader: _Reader,
    paths: Sequence[Path],
    ingested: Ingested,
    watch: Callable[[IngestProgress], None],
) -> None:
    """Fills ``new_trajectories``; at any time each thread reads one chunk, and as many wait."""
    _append(connection, "summaries_read", Summariser().summaries("ingest_summaries", FACTS.empty_table()))
    threads = os.cpu_count() or 1
    chunks = (paths[begin : begin + FILES_AT_ONCE] for begin in range(0, len(paths), FILES_AT_ONCE))
    started = time.monotonic()
    read = 0
    with ThreadPoolExecutor(threads) as pool:
        running: dict[Future[tuple[pa.Table | None, list[tuple[str, str]]]], int] = {}
        try:
            while True:
                for chunk in islice(chunks, 2 * threads - len(running)):
                    running[pool.submit(reader.read, chunk)] = len(chunk)
                if not running:
                    break
                done, _ = wait(running, WATCH_SECONDS, FIRST_COMPLETED)
                for future in done:
                    read += running.pop(future)
                    table, broken = future.result()
                    ingested.broken += broken
                    if table is not None:
                        _append(connection, "summaries_read", table)
                watch(IngestProgress(read, len(paths), time.monotonic() - started))
        except BaseException:
            for future in running:
                future.cancel()
            raise
    for table in reader.finish():
        _append(connection, "summaries_read", table)
    ingested.broken += views.query(connection, "ingest_faults").fetchall()
    views.query(connection, "ingest_new_trajectories").create("new_trajectories")


def _read_logs(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], ingested: Ingested) -> None:
    kinds = {"str": pa.string(), "int": pa.int64()}
    _create(connection, "new_rows", {column.name: kinds[str(column.type)] for column in fields(LogRow)})
    for path in paths:
        rows = []
        try:
            for row in metamon_files.read_battle_log(path):
                if isinstance(row, LogRow):
                    rows.append(asdict(row))
                else:
                    ingested.broken.append((str(path), row))
        except BrokenFileError as error:
            ingested.broken.append((str(path), str(error)))
        _insert(connection, "new_rows", rows)


def _store(
    store: Store,
    connection: duckdb.DuckDBPyConnection,
    reader: _Reader,
    run_id: str,
    started_at: datetime,
    paths: Sequence[str | os.PathLike[str]],
    ingested: Ingested,
) -> None:
    """Pairs the points of view and writes the battles with their trajectories."""
    for name in ("points", "known_points", "all_points", "pairs", "places"):
        _materialise(connection, name)
    ((battles, half_known, already_there, attached, formats),) = views.query(connection, "ingest_counts").fetchall()
    ingested.already_there += already_there
    if battles == 0 and attached == 0:
        reader.close()
        store.remove_run(run_id)
        return
    ingested.run_id, ingested.battles, ingested.half_known = run_id, battles, half_known
    unsure, player, opponent = views.query(connection, "ingest_unsure").fetchall()[0]
    if unsure:
        ingested.unsure = (unsure, player, opponent)
    reader.publish()
    store.add_run(
        Run(
            run_id=run_id,
            kind="import",
            format=formats or "",
            venue="server",
            settings=json.dumps({"paths": [str(Path(path).absolute()) for path in paths]}),
            scheduled=battles,
            started_at=started_at,
            pokeladder_version=version("pokeladder"),
            showdown_version=None,
        )
    )
    for begin in range(0, max(battles, 1), BATTLES_A_FILE):
        batch = f"ingest-{begin // BATTLES_A_FILE:06d}"
        part = {"run": run_id, "batch": batch, "begin": begin, "end": begin + BATTLES_A_FILE}
        new_battles = views.query(connection, "ingest_battles", part).to_arrow_table()
        connection.register("new_battles", new_battles)
        rows = views.query(connection, "ingest_trajectories", {**part, "known": begin == 0}).to_arrow_table()
        connection.unregister("new_battles")
        ingested.trajectories += len(rows)
        points = views.query(connection, "ingest_point_rows", {**part, "known": begin == 0}).to_arrow_table()
        store.write_table(points.cast(POINT_SCHEMA), "points", run_id, batch)
        store.write_table(rows.cast(TRAJECTORY_SCHEMA), "trajectories", run_id, batch)
        if len(new_battles):
            store.write_table(new_battles.cast(BATTLE_SCHEMA), "battles", run_id, batch)


def _materialise(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    views.query(connection, f"ingest_{name}").create(name)


def _create(connection: duckdb.DuckDBPyConnection, name: str, columns: Mapping[str, pa.DataType]) -> None:
    _append(connection, name, pa.schema(list(columns.items())).empty_table())


def _insert(connection: duckdb.DuckDBPyConnection, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        _append(connection, name, pa.Table.from_pylist(list(rows)))


def _append(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    """Adds rows to a table, which their columns make if it is not there."""
    connection.register("added", table)
    try:
        connection.execute(f"CREATE TABLE IF NOT EXISTS {name} AS FROM added LIMIT 0")
        connection.execute(f"INSERT INTO {name} BY NAME FROM added")
    finally:
        connection.unregister("added")
