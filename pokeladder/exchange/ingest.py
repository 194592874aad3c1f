"""``ingest``: metamon's trajectories and battle logs become the battles of one run.

Files are read and summarised in parallel (:mod:`pokeladder.exchange.readers`). Once all summaries are there, SQL pairs
the perspectives into battles (``sql/queries/ingest_*.sql``).
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from filelock import Timeout

from pokeladder.errors import InterruptedRunError, StoreError, UsageError
from pokeladder.exchange.readers import FACTS, FILES_A_TASK, Task, Unnamed, read_all
from pokeladder.metamon import files as metamon_files
from pokeladder.metamon.files import BrokenFileError, LogRow
from pokeladder.names import RULE, is_name, shown
from pokeladder.progress import FileCounter, FileWatch
from pokeladder.query import statements, views
from pokeladder.query.texts import query_texts
from pokeladder.store.files import Store, new_run_id
from pokeladder.store.rows import Run
from pokeladder.store.schemas import BATTLE_SCHEMA, PERSPECTIVE_SCHEMA, TRAJECTORY_SCHEMA
from pokeladder.system.scratch import Scratch
from pokeladder.trajectories.summaries import Summariser

BATTLES_A_FILE = 50_000
ROWS_AT_ONCE = 20_000
MEMORY_LIMIT = "512MB"
TOURNAMENT_FILE = "tournament_results.json"
# Other files of the former pipeline.
NO_TRAJECTORIES = frozenset({TOURNAMENT_FILE, "filtering_stats.json", "elo_results_ratings.json"})


@dataclass
class Ingested:
    """The result of an ingest.

    Attributes:
        run_id: the new run; None if nothing was added.
        trajectories, battles: numbers of those that were added.
        half_known: number of the added battles that are known from one side only.
        already_there: number of files and log rows that the store has already, and of copies of one file.
        broken: file or line, and the reason why it cannot be read.
        others: JSON files that are not trajectories by name or content; skipped.
        unsure: number of perspectives that may belong to one battle but are ambiguous, and the players of one of them.
    """

    run_id: str | None = None
    trajectories: int = 0
    battles: int = 0
    half_known: int = 0
    already_there: int = 0
    broken: list[tuple[str, str]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    unsure: tuple[int, str, str] | None = None


@dataclass(frozen=True)
class _Found:
    """The files under the paths."""

    trajectories: list[Path]
    logs: list[Path]
    tournaments: list[Path]
    unreadable: list[tuple[str, str]]


def ingest(
    store: Store,
    paths: Sequence[str | os.PathLike[str]],
    renames: Mapping[str, str],
    watch: FileWatch,
    notify: Callable[[str], None],
) -> Ingested:
    """Adds trajectories and battle logs that the store does not have yet.

    Args:
        paths: files, and folders, which are searched.
        renames: agents by the user names under which they played; an old ``tournament_results.json`` adds its renames.
        watch: called with the progress about four times a second.
        notify: called with a line when another ingest is running, which this one waits for.

    Raises:
        UsageError: a path does not exist, no path has files to ingest, or a name in ``renames`` cannot be an agent's.
        StoreError: the store cannot be read or written; nothing was added.
        InterruptedRunError: stopped by the user; nothing was added.
    """
    for agent in renames.values():
        if not is_name(agent):
            raise UsageError(f"{agent!r} cannot be an agent's name: {RULE}")
    found = _find([Path(path) for path in paths])
    ingested = Ingested(broken=found.unreadable)
    with _alone(store, notify), Scratch() as spill:
        connection = views.connect(store.files, items=views.needed(query_texts("ingest_")))
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        connection.execute("SET temp_directory = $folder", {"folder": str(spill)})
        names = _renames(found.tournaments, ingested)
        _create(connection, "renames", {"player": pa.string(), "agent": pa.string()})
        _insert(connection, "renames", [{"player": p, "agent": a} for p, a in {**names, **renames}.items()])
        started_at = datetime.now(UTC)
        run_id = new_run_id(started_at)
        try:
            new = _new_files(connection, found.trajectories, ingested)
            parts = (tuple(new[begin : begin + FILES_A_TASK]) for begin in range(0, len(new), FILES_A_TASK))
            _read_all(connection, [Task(store.folder, run_id, part) for part in parts], ingested, watch)
            _read_logs(connection, found.logs, ingested)
            _leave_copies_out(connection, ingested)
            _store(store, connection, run_id, started_at, paths, ingested)
        except BaseException as error:
            store.remove_run(run_id)
            if isinstance(error, KeyboardInterrupt):
                raise _interrupted() from None
            raise
        finally:
            store.clear_unfinished(run_id)
    return ingested


@contextmanager
def _alone(store: Store, notify: Callable[[str], None]) -> Iterator[None]:
    """Holds the store's lock of ingests.

    Raises:
        InterruptedRunError: stopped by the user while another process had the lock.
        StoreError: the file system has no locks.
    """
    lock = store.lock_ingest()
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            notify("another ingest into this store is running: this one waits for its end")
            lock.acquire()
    except KeyboardInterrupt:
        raise _interrupted() from None
    except (OSError, NotImplementedError) as error:
        raise StoreError(
            f"cannot lock {lock.lock_file}: {error}; copy the store to a file system with locks"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _interrupted() -> InterruptedRunError:
    return InterruptedRunError("nothing was added to the store; run the same command again")


def _find(paths: Sequence[Path]) -> _Found:
    found = _Found([], [], [], [])
    seen: set[tuple[str, str]] = set()
    folders: dict[Path, str] = {}
    for path in paths:
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except FileNotFoundError:
            raise UsageError(f"there is no file or folder {path}") from None
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from error
        for file in _files_under(path, found.unreadable) if is_folder else [path]:
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
    if not found.trajectories and not found.logs and not found.unreadable:
        raise UsageError(
            f"there is nothing to ingest in {', '.join(map(str, paths))}: "
            "name files or folders of *.json.lz4, *.json or battle_log_*.csv"
        )
    return found


def _files_under(folder: Path, unreadable: list[tuple[str, str]]) -> Iterator[Path]:
    def add(error: OSError) -> None:
        unreadable.append((str(error.filename), error.strerror or str(error)))

    for parent, folders, names in os.walk(folder, onerror=add):
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
    """The files whose names are not in the store, each name once."""
    names = [shown(metamon_files.stem(path)) for path in paths]
    _append(connection, "file_names", pa.table({"place": pa.array(range(len(paths)), pa.int64()), "name": names}))
    new = [paths[place] for (place,) in statements.tuples(connection, "ingest_new_files")]
    ingested.already_there += len(paths) - len(new)
    return new


def _read_all(
    connection: duckdb.DuckDBPyConnection,
    tasks: Sequence[Task],
    ingested: Ingested,
    watch: FileWatch,
) -> None:
    """Fills the table ``summaries_read``."""
    unnamed: list[Unnamed] = []
    _append(connection, "summaries_read", Summariser().summaries("ingest_summaries", FACTS.empty_table()))
    progress = FileCounter(sum(len(task.paths) for task in tasks), watch)
    with closing(read_all(tasks)) as readings:
        for reading in readings:
            if reading is not None:
                progress.add(reading.files)
                ingested.broken += reading.broken
                unnamed += reading.unnamed
                ingested.others += reading.others
                _append(connection, "summaries_read", reading.table)
            progress.tell()
    ingested.broken += statements.tuples(connection, "ingest_faults")
    _leave_unnamed_copies_out(connection, unnamed, ingested)


def _leave_unnamed_copies_out(
    connection: duckdb.DuckDBPyConnection, unnamed: Sequence[Unnamed], ingested: Ingested
) -> None:
    """Counts copies as known, and the other trajectories as broken."""
    if not unnamed:
        # The query would read the digests of the whole store.
        return
    digests = pa.array([one.digest for one in unnamed], pa.string())
    _append(connection, "unnamed", pa.table({"place": pa.array(range(len(unnamed)), pa.int64()), "digest": digests}))
    known = {place for (place,) in statements.tuples(connection, "ingest_unnamed_copies")}
    ingested.already_there += len(known)
    ingested.broken += [(one.path, one.fault) for place, one in enumerate(unnamed) if place not in known]


def _read_logs(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], ingested: Ingested) -> None:
    """Fills the table ``log_rows``."""
    kinds = {"str": pa.string(), "str | None": pa.string(), "int": pa.int64()}
    _create(connection, "log_rows", {column.name: kinds[str(column.type)] for column in fields(LogRow)})
    rows: list[Mapping[str, Any]] = []
    for path in paths:
        try:
            for row in metamon_files.read_battle_log(path):
                if isinstance(row, LogRow):
                    rows.append(asdict(row))
                else:
                    ingested.broken.append((str(path), row))
                if len(rows) == ROWS_AT_ONCE:
                    _insert(connection, "log_rows", rows)
                    rows = []
        except BrokenFileError as error:
            ingested.broken.append((str(path), str(error)))
    _insert(connection, "log_rows", rows)


def _leave_copies_out(connection: duckdb.DuckDBPyConnection, ingested: Ingested) -> None:
    """Fills the tables ``new_trajectories`` and ``new_rows``, without those that the store has under another name."""
    for name in ("known_perspectives", "copies", "copied_rows", "new_trajectories", "new_rows"):
        statements.materialise(connection, f"ingest_{name}", name)
    for name in ("copies", "copied_rows"):
        ((known,),) = statements.fetched(connection.table(name).aggregate("count(*)"))
        ingested.already_there += known


def _store(
    store: Store,
    connection: duckdb.DuckDBPyConnection,
    run_id: str,
    started_at: datetime,
    paths: Sequence[str | os.PathLike[str]],
    ingested: Ingested,
) -> None:
    """Pairs the perspectives, and writes the battles with their trajectories."""
    for name in ("perspectives", "all_perspectives", "pairs", "places"):
        statements.materialise(connection, f"ingest_{name}", name)
    (counts,) = statements.tuples(connection, "ingest_counts")
    battles, half_known, already_there, attached, formats = counts
    ingested.already_there += already_there
    if battles == 0 and attached == 0:
        store.remove_run(run_id)
        return
    ingested.run_id, ingested.battles, ingested.half_known = run_id, battles, half_known
    ((unsure, player, opponent),) = statements.tuples(connection, "ingest_unsure")
    if unsure:
        ingested.unsure = (unsure, player, opponent)
    documents = connection.table("new_trajectories").project("document_file").distinct().order("document_file")
    for (name,) in statements.fetched(documents):
        store.publish_documents(run_id, name)
    store.add_run(
        Run(
            run_id=run_id,
            kind="import",
            format=formats or "",
            venue="server",
            settings=json.dumps({"paths": [shown(str(Path(path).absolute())) for path in paths]}),
            scheduled=battles,
            started_at=started_at,
            pokeladder_version=version("pokeladder"),
            showdown_version=None,
        )
    )
    for begin in range(0, max(battles, 1), BATTLES_A_FILE):
        batch = f"ingest-{begin // BATTLES_A_FILE:06d}"
        part = {"run": run_id, "batch": batch, "begin": begin, "end": begin + BATTLES_A_FILE}
        new_battles = statements.arrow_table(statements.query(connection, "ingest_battles", part))
        connection.register("new_battles", new_battles)
        known = {**part, "known": begin == 0}
        rows = statements.arrow_table(statements.query(connection, "ingest_trajectories", known))
        connection.unregister("new_battles")
        ingested.trajectories += len(rows)
        perspectives = statements.arrow_table(statements.query(connection, "ingest_perspective_rows", known))
        store.write_table(perspectives.cast(PERSPECTIVE_SCHEMA), "points", run_id, batch)
        store.write_table(rows.cast(TRAJECTORY_SCHEMA), "trajectories", run_id, batch)
        if len(new_battles):
            store.write_table(new_battles.cast(BATTLE_SCHEMA), "battles", run_id, batch)


def _create(connection: duckdb.DuckDBPyConnection, name: str, columns: Mapping[str, pa.DataType]) -> None:
    _append(connection, name, pa.schema(list(columns.items())).empty_table())


def _insert(connection: duckdb.DuckDBPyConnection, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        _append(connection, name, pa.Table.from_pylist(list(rows)))


def _append(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    """Adds rows to a table, which is made if it does not exist."""
    connection.register("added", table)
    try:
        connection.execute(f"CREATE TABLE IF NOT EXISTS {name} AS FROM added LIMIT 0")
        connection.execute(f"INSERT INTO {name} BY NAME FROM added")
    finally:
        connection.unregister("added")
