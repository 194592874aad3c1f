"""Taking in what metamon has written: trajectories and battle logs become the battles of one run.

Files are read and summarised in parallel, some hundred at a time; only the summaries are kept until all are there.
Then the points of view are paired into battles, in SQL (``sql/queries/ingest_*.sql``).
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from pokeladder import metamon_files, views
from pokeladder.errors import InterruptedRunError, UsageError
from pokeladder.metamon_files import BrokenFileError, LogRow
from pokeladder.reading import FACTS, FILES_A_TASK, Task, read_all
from pokeladder.records import Run
from pokeladder.store import BATTLE_SCHEMA, POINT_SCHEMA, TRAJECTORY_SCHEMA, Store, new_run_id
from pokeladder.summaries import Summariser

BATTLES_A_FILE = 50_000
MEMORY_LIMIT = "512MB"
TOURNAMENT_FILE = "tournament_results.json"
# What the old pipeline writes beside trajectories.
NO_TRAJECTORIES = frozenset({TOURNAMENT_FILE, "filtering_stats.json", "elo_results_ratings.json"})


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
        StoreError: the store cannot be read or written; nothing was added.
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
        try:
            new = _new_files(connection, found.trajectories, ingested)
            parts = (tuple(new[begin : begin + FILES_A_TASK]) for begin in range(0, len(new), FILES_A_TASK))
            documents = _read_all(connection, [Task(store.folder, run_id, part) for part in parts], ingested, watch)
            _read_logs(connection, found.logs, ingested)
            _store(store, connection, documents, run_id, started_at, paths, ingested)
        except BaseException as error:
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
    names = views.fetched(views.query(connection, "ingest_known_names"))
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


def _read_all(
    connection: duckdb.DuckDBPyConnection,
    tasks: Sequence[Task],
    ingested: Ingested,
    watch: Callable[[IngestProgress], None],
) -> list[str]:
    """Fills ``new_trajectories``; the names of the files of documents, which are to be published."""
    _append(connection, "summaries_read", Summariser().summaries("ingest_summaries", FACTS.empty_table()))
    files = sum(len(task.paths) for task in tasks)
    started = time.monotonic()
    read = 0
    documents = []
    with closing(read_all(tasks)) as readings:
        for reading in readings:
            if reading is not None:
                read += reading.files
                ingested.broken += reading.broken
                documents.append(reading.documents)
                _append(connection, "summaries_read", reading.table)
            watch(IngestProgress(read, files, time.monotonic() - started))
    ingested.broken += views.fetched(views.query(connection, "ingest_faults"))
    views.materialise(connection, "ingest_new_trajectories", "new_trajectories")
    return documents


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
    documents: Sequence[str],
    run_id: str,
    started_at: datetime,
    paths: Sequence[str | os.PathLike[str]],
    ingested: Ingested,
) -> None:
    """Pairs the points of view and writes the battles with their trajectories."""
    for name in ("points", "known_points", "all_points", "pairs", "places"):
        views.materialise(connection, f"ingest_{name}", name)
    (counts,) = views.fetched(views.query(connection, "ingest_counts"))
    battles, half_known, already_there, attached, formats = counts
    ingested.already_there += already_there
    if battles == 0 and attached == 0:
        store.remove_run(run_id)
        return
    ingested.run_id, ingested.battles, ingested.half_known = run_id, battles, half_known
    ((unsure, player, opponent),) = views.fetched(views.query(connection, "ingest_unsure"))
    if unsure:
        ingested.unsure = (unsure, player, opponent)
    for name in documents:
        store.publish_documents(run_id, name)
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
        new_battles = views.arrow_table(views.query(connection, "ingest_battles", part))
        connection.register("new_battles", new_battles)
        rows = views.arrow_table(views.query(connection, "ingest_trajectories", {**part, "known": begin == 0}))
        connection.unregister("new_battles")
        ingested.trajectories += len(rows)
        points = views.arrow_table(views.query(connection, "ingest_point_rows", {**part, "known": begin == 0}))
        store.write_table(points.cast(POINT_SCHEMA), "points", run_id, batch)
        store.write_table(rows.cast(TRAJECTORY_SCHEMA), "trajectories", run_id, batch)
        if len(new_battles):
            store.write_table(new_battles.cast(BATTLE_SCHEMA), "battles", run_id, batch)


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
