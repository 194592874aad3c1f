"""Selection of the trajectories of a training set in SQL."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from duckdb import ColumnExpression, ConstantExpression

from pokeladder.errors import UsageError
from pokeladder.exchange.training_files import PARQUET_FILE, Target
from pokeladder.metamon import files as metamon_files
from pokeladder.metamon.files import BrokenFileError
from pokeladder.query import statements, views
from pokeladder.query.catalogue import VIEWS
from pokeladder.query.texts import query_text, query_texts
from pokeladder.store.files import Store

# Number of lines of the digest that are read at once.
LINES = 10_000
# Format, name of file, result and digest of a trajectory in the folder of an export; None if unknown.
Listed = tuple[str, str, str | None, str | None]


@dataclass(frozen=True)
class Filters:
    """Conditions on trajectories; see :meth:`pokeladder.Ladder.export_filtered`."""

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
        """The filters by their names in ``filtering_stats.json``, where steps are called turns."""
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
    """The counts of an export, including trajectories that the folder had before.

    Attributes:
        input_count: number of trajectories in scope.
        output_count: number of those in the set; ``wins``, ``losses`` and ``ties`` count them by result.
        failed_reasons: numbers of those that were too_short, too_long, or had too many invalid_actions.
        removed: numbers of those dropped for balance and by the limit.
        digest: SHA-256 over names and contents of the set.
        there, of_others: numbers of trajectories that the folder had before, and of those that are not in the store.
        unrecorded: number of trajectories in scope that could not be recorded when they were played.
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


def connect(store: Store, filters: Filters) -> duckdb.DuckDBPyConnection:
    """A connection to the views of a store, for the functions of this module."""
    # A condition may ask any view.
    items = VIEWS if filters.where is not None else views.needed(query_texts("export_"))
    connection = views.connect(store.files, items=items)
    # DuckDB estimates the size of a source by its first file, which is empty, and would hash the wrong side of joins.
    connection.execute("SET disabled_optimizers = 'build_side_probe_side'")
    return connection


def find_there(connection: duckdb.DuckDBPyConnection, output_dir: Path, to: Target) -> int:
    """Makes the tables ``kept`` and ``there`` of the trajectories that a folder has.

    Returns:
        Their number.

    Raises:
        UsageError: a file in the folder is not a trajectory.
    """
    if to == "parquet":
        columns = "format, file_name, result, digest"
        paths = sorted(map(str, output_dir.glob(f"*/{PARQUET_FILE}")))
        try:
            listed = [row for path in paths for row in connection.read_parquet(path).project(columns).fetchall()]
        except duckdb.Error as error:
            raise UsageError(f"{output_dir} holds a {PARQUET_FILE} that cannot be added to: {error}") from error
    else:
        listed = [(path.parent.name, path.name, None, None) for path in output_dir.glob("*/*.json.lz4")]
    list_there(connection, listed)
    if to == "metamon":
        unknown = connection.sql("SELECT format, file_name FROM there WHERE digest IS NULL").fetchall()
        for folder, name in unknown:
            result, digest = _of_others(output_dir / folder / name)
            connection.execute(
                "UPDATE there SET result = $result, digest = $digest WHERE format = $format AND file_name = $name",
                {"result": result, "digest": digest, "format": folder, "name": name},
            )
    return len(listed)


def list_there(connection: duckdb.DuckDBPyConnection, listed: Sequence[Listed]) -> None:
    """Makes the tables ``kept`` (in the store) and ``there`` of a listing of trajectories."""
    columns = ("format", "file_name", "result", "digest")
    arrays = [pa.array([row[number] for row in listed], pa.string()) for number in range(len(columns))]
    connection.register("listed", pa.table(arrays, columns))
    for name in ("kept", "there"):
        query = statements.query(connection, f"export_{name}")
        with statements.query_errors(query_text(f"export_{name}")):
            # Naming all trajectories of a store takes a second.
            (query if listed else query.limit(0)).create(name)


def _of_others(path: Path) -> tuple[str, str]:
    """The result and the digest of a trajectory that is not in the store.

    Raises:
        UsageError: the file is not a trajectory.
    """
    try:
        name = metamon_files.parse_name(metamon_files.stem(path))
        document = metamon_files.read_document(path)
    except BrokenFileError as error:
        raise UsageError(
            f"cannot add to {path.parent.parent}: {path}: {error}; remove the file, or name another folder"
        ) from error
    return name.result, hashlib.sha256(document).hexdigest()


def select(connection: duckdb.DuckDBPyConnection, filters: Filters, limit: int | None) -> None:
    """Makes the tables ``judged`` (rows of ``export_selection``) and ``selection`` (rows of ``export_selected``)."""
    conditions = views.slice_conditions(filters.battle_format, filters.run, filters.agents, ("agent",))
    if filters.where is not None:
        conditions.append(views.condition(connection, "trajectories", filters.where))
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


def counted(connection: duckdb.DuckDBPyConnection, filters: Filters) -> Exported:
    """The counts of the tables that :func:`select` has made."""
    (counts,) = statements.tuples(connection, "export_counts")
    scope, held, wins, losses, ties, there, of_others, left_out = counts
    removed = {reason: left_out.pop(reason) for reason in ("balance", "limit") if reason in left_out}
    return Exported(
        scope,
        held,
        wins,
        losses,
        ties,
        left_out,
        removed,
        _digest(connection),
        there,
        of_others,
        _unrecorded(connection, filters),
    )


def _digest(connection: duckdb.DuckDBPyConnection) -> str:
    """SHA-256, in hexadecimal, of the rows of ``export_lines``, joined by line feeds."""
    digest, between = hashlib.sha256(), ""
    lines = statements.query(connection, "export_lines")
    with statements.query_errors(query_text("export_lines")):
        for batch in lines.to_arrow_reader(LINES):
            digest.update((between + "\n".join(batch.column(0).to_pylist())).encode())
            between = "\n"
    return digest.hexdigest()


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
