"""The SQL views over a store's files: in a connection of this process, and in ``pokeladder.duckdb`` for every other.

The texts are in the package ``pokeladder.sql``, one file a view, macro or query, named after what it makes. In this
process Python functions fold battles in their order (:mod:`pokeladder.query.folds`), in ``pokeladder.duckdb`` macros
do; all else is shared.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
from duckdb import ColumnExpression, ConstantExpression, Expression, SQLExpression
from duckdb.sqltypes import BOOLEAN

from pokeladder.errors import QueryError, StoreError
from pokeladder.query import connections, csv_files, databases, folds
from pokeladder.query.texts import statement, text
from pokeladder.scratch import Scratch

if TYPE_CHECKING:
    import pyarrow as pa

# Everything that is made on top of the store's files, each after all that it reads.
VIEWS = (
    "macros/misplaced",
    "macros/current_rows",
    "views/battles",
    "views/input_logs",
    "views/server_battles",
    "views/runs",
    "views/agent_versions",
    "views/trajectories",
    "macros/hundredths",
    "macros/parse_moves",
    "macros/parse_pokemon",
    "views/steps",
    "views/repeated_battles",
    "views/rated_battles",
    "views/results",
    "macros/z95",
    "macros/wilson_centre",
    "macros/wilson_half_width",
    "macros/wilson",
    "views/usage",
    "macros/without_team_set",
    "macros/metamon_file_name",
    "macros/as_exported",
    "views/matchups",
    "views/statistics",
    "macros/elo_rating",
    "macros/elo_change",
    "macros/elo_block",
    "macros/elo_fold",
    "macros/elo_progression_with",
    "views/elo_progression",
    "macros/elo_latest",
    "macros/elo_with",
    "views/elo",
    "macros/standings_with",
    "views/standings",
    "views/matchup_totals",
    "views/matchup_sides",
    "macros/win_chance",
    "macros/solve_linear",
    "macros/logistic",
    "macros/elo_unit",
    "macros/information",
    "macros/rating_components",
    "macros/rating_estimates",
    "macros/ratings_with",
    "views/ratings",
    "views/agent_order",
    "macros/normal_cdf",
    "macros/elo_of_score",
    "macros/differences_with",
    "views/differences",
    "macros/matchups_with",
    "views/cycles",
    "views/side_bias",
    "macros/glicko_attenuation",
    "macros/glicko_update",
    "macros/glicko_after",
    "macros/glicko_fold",
    "macros/glicko_latest",
    "macros/gxe",
    "views/glicko",
)
# Sources of which files of earlier versions have fewer columns (see pokeladder.store.files.ADDED).
MIXED = frozenset({"battle_files"})
# An agent whose version is not known keeps its name.
_NAMED_BY_VERSION = (
    "* REPLACE (coalesce(p1 || '#' || p1_version, p1) AS p1, coalesce(p2 || '#' || p2_version, p2) AS p2)"
)
# The oldest format of DuckDB files that can hold pokeladder.duckdb. DuckDB 1.x reads it, too.
STORAGE_VERSION = "v1.0.0"
# Ends the first glob of each source, and matches as "/none.parquet" does. DuckDB shows it where the store is gone.
MOVED = "/none.parque[t - this store was moved or deleted: open it once with pokeladder where it is now]"
# Sources of which no file is ever merged.
WHOLE = frozenset({"run_files", "merge_files", "version_files"})
# What DuckDB makes of KeyboardInterrupt, and of any other exception, that a signal raises in a query.
INTERRUPTED = "Query interrupted"
# What stands in for macros where Python functions fold; None for what only those macros use.
FOLDED: Mapping[str, str | None] = {
    "macros/elo_rating": None,
    "macros/elo_change": None,
    "macros/elo_block": None,
    "macros/elo_fold": None,
    "macros/elo_latest": "folded/elo_latest",
    "macros/glicko_after": None,
    "macros/glicko_fold": None,
    "macros/glicko_latest": "folded/glicko_latest",
}


def connect(
    sources: Mapping[str, Sequence[str]],
    *,
    where: str | None = None,
    battle_format: str | None = None,
    run: str | None = None,
    agents: Sequence[str] | None = None,
    excluding: str | None = None,
    by_version: bool = False,
    bounded: bool = True,
    items: Sequence[str] = VIEWS,
) -> duckdb.DuckDBPyConnection:
    """A connection in memory with all views, or some; ``battles`` and whatever is computed from it hold a slice only.

    Relations made with the connection keep it open.

    Args:
        sources: globs by view, as ``files`` of :class:`pokeladder.store.files.Store` gives them. In the name of a
            folder ``[``, ``*`` and ``?`` are written ``[[]``, ``[*]`` and ``[?]``.
        where: an SQL condition over the columns of ``battles``.
        battle_format, run: keep battles of this format, of this run.
        agents: keep battles between two of these agents; none if it is empty.
        excluding: an SQL condition, too: leave out the battles that meet it.
        by_version: name agents with their versions, so that each version is an agent of its own.
        bounded: as of :func:`pokeladder.query.databases.new`.
        items: those of :data:`VIEWS` to make, in their order: each takes milliseconds.

    Raises:
        QueryError: ``where`` or ``excluding`` is not one condition over ``battles``, or the files cannot be read.
    """
    conditions = []
    if where is not None:
        with query_errors(where):
            conditions.append(SQLExpression(where))
    if excluding is not None:
        with query_errors(excluding):
            met = SQLExpression(excluding)
        conditions.append(met.isnull() | ~met)
    if battle_format is not None:
        conditions.append(ColumnExpression("format") == ConstantExpression(battle_format))
    if run is not None:
        conditions.append(ColumnExpression("run_id") == ConstantExpression(run))
    if agents is not None:
        # IN () is no SQL; nothing is IN (NULL).
        names = [ConstantExpression(agent) for agent in agents or (None,)]
        conditions += [ColumnExpression(side).isin(*names) for side in ("p1", "p2")]
    connection, again = databases.new(bounded=bounded)
    folds.register(connection, again)
    # Files never change, so what was read of them once holds for good.
    connection.execute("SET parquet_metadata_cache = true")
    with query_errors(where or excluding or "\n".join(chain(*sources.values()))):
        _create(connection, sources, conditions, instead=FOLDED, by_version=by_version, items=items)
    for given in (where, excluding):
        if given is not None:
            condition(connection, "battles", given)
    return connection


def needed(sql: str) -> tuple[str, ...]:
    """Those of :data:`VIEWS` that a statement names, with all that these read, and what every connection reads."""
    wanted = {"current_rows", "battles"} | _words(sql)
    found = []
    # Each item comes after all that it reads.
    for item in reversed(VIEWS):
        if item.split("/")[1] in wanted:
            found.append(item)
            wanted |= _words_of(item)
    return tuple(reversed(found))


@cache
def _words_of(item: str) -> frozenset[str]:
    used = FOLDED.get(item, item)
    if used is None:
        return frozenset()
    # Python functions that fold read the battles themselves.
    return _words(f"{text(used)}\n{statement(folds.GAMES)}" if item in FOLDED else text(used))


def _words(sql: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", re.sub(r"^--.*", "", sql, flags=re.MULTILINE)))


def condition(connection: duckdb.DuckDBPyConnection, table: str, where: str) -> Expression:
    """An SQL condition over the columns of a table or view.

    Raises:
        QueryError: it is not one.
    """
    with query_errors(where):
        expression = SQLExpression(where)
        (kind,) = connection.table(table).project(expression).types
    if kind != BOOLEAN:
        raise QueryError(f"this is not a condition, but a value of type {kind}", where)
    return expression


def write_database(path: Path, sources: Mapping[str, Sequence[str]]) -> None:
    """Makes the file through which any DuckDB client reads the store, in place of the one there may be.

    The file answers only where it was made: elsewhere, as a copy or in a store that was moved, its views raise an error
    that says what to do (``sql/macros/misplaced.sql``). Beside it lies its seal, by which :func:`database_is_current`
    knows it.

    Raises:
        StoreError: the file cannot be written.
    """
    sources = _resolved(path, sources)
    try:
        # DuckDB cannot write a file in a folder with "?" in its name: it puts the log that goes with it elsewhere.
        with Scratch() as folder:
            made = folder / path.name
            with connections.connect() as connection:
                columns = tuple(
                    (name, *zip(source.columns, map(str, source.types), strict=True))
                    # The first glob alone: its file has the columns, and the others need not be listed.
                    for name, source in _read(connection, {name: globs[:1] for name, globs in sources.items()}).items()
                )
            made.write_bytes(_without_sources(columns))
            with connections.connect(made, storage_compatibility_version=STORAGE_VERSION) as connection:
                # In one transaction: each of its own would be synced by itself.
                connection.execute("BEGIN")
                _create_sources(connection, sources, _read(connection, sources), _guard(path))
                connection.execute("COMMIT")
            database = made.read_bytes()
        # A log that another client left behind belongs to the old file, and would be replayed into the new one.
        for log in _logs(path):
            log.unlink(missing_ok=True)
        _place(path, database)
        _place(_seal_of(path), _seal(database, sources))
    except (OSError, duckdb.Error) as error:
        raise StoreError(f"cannot write {path}: {error}; make its folder writable, or name another store") from error


def described(item: str) -> tuple[str, dict[str, str]]:
    """The description of a view, and those of its columns by name, from the head of its file.

    The head is a paragraph, an empty comment line, and an entry for a column or several: ``-- name, name: text``, whose
    further lines are indented. ``*`` stands for the columns of ``battles``.
    """
    lines = takewhile(lambda line: line.startswith("--"), text(item).split("\n"))
    about, _, columns = "\n".join(line[2:].removeprefix(" ") for line in lines).partition("\n\n")
    told: dict[str, str] = {}
    for entry in re.split(r"\n(?! )", columns):
        names, _, meaning = entry.partition(": ")
        told |= dict.fromkeys(names.split(", "), " ".join(meaning.split()))
    return " ".join(about.split()), told


def _comment(connection: duckdb.DuckDBPyConnection) -> None:
    """Puts the descriptions of views and their columns into the catalogue."""
    columns = connection.sql("SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal").fetchall()
    statements = []
    for item in VIEWS:
        kind, name = item.split("/")
        if kind == "views":
            about, told = described(item)
            if "*" in told:
                told = described("views/battles")[1] | told
            statements.append(f"COMMENT ON VIEW {name} IS {ConstantExpression(about)}")
            statements += [
                f'COMMENT ON COLUMN {name}."{column}" IS {ConstantExpression(told[column])}'
                for view, column in columns
                if view == name and column in told
            ]
    connection.execute(";".join(statements))


def database_is_current(path: Path, sources: Mapping[str, Sequence[str]]) -> bool:
    """Whether ``path`` is, byte for byte, what :func:`write_database` has made, and would make of these files."""
    try:
        return not _logs(path) and _seal_of(path).read_bytes() == _seal(path.read_bytes(), _resolved(path, sources))
    except OSError:
        return False


def _resolved(path: Path, sources: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The globs as ``pokeladder.duckdb`` holds them: without symbolic links in the name of the store's folder, as
    DuckDB names the file itself; the first one says why it finds nothing."""
    named, real = (glob.escape(str(folder)) for folder in (path.parent, path.parent.resolve()))
    return {
        view: [
            re.sub(r"/none\.parquet$", MOVED, real + one.removeprefix(named) if one.startswith(named) else one)
            for one in globs
        ]
        for view, globs in sources.items()
    }


def _guard(path: Path) -> str:
    """A condition that fails, with an error, for each copy of the file ``path`` that is attached."""
    place = str(path.parent.resolve() / path.name)
    mark = hashlib.sha256(os.fsencode(place)).hexdigest()
    return f"filename NOT IN (FROM misplaced({ConstantExpression(place)}, '{mark}'))"


def _logs(path: Path) -> list[Path]:
    """What clients that have the file open for writing, or have died, have yet to put into it."""
    return list(path.parent.glob(f"{glob.escape(path.name)}.wal*"))


def _seal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _seal(database: bytes, sources: Mapping[str, Sequence[str]]) -> bytes:
    """Differs when the file, the names of the files that it reads or any text that goes into it does."""
    parts = (STORAGE_VERSION, *chain(*sources.values()), *map(text, VIEWS))
    digest = hashlib.sha256("\0".join(parts).encode(errors="surrogateescape"))
    digest.update(b"\0" + database)
    return f"{digest.hexdigest()}\n".encode()


def _place(path: Path, content: bytes) -> None:
    """Writes a file that nobody is to write again, in place of the one there may be."""
    staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        staged.write_bytes(content)
        staged.chmod(0o444)
        staged.rename(path)
    finally:
        staged.unlink(missing_ok=True)


def query(
    connection: duckdb.DuckDBPyConnection, name: str, parameters: Mapping[str, object] | None = None
) -> duckdb.DuckDBPyRelation:
    """The rows of the query ``name``; its file says which parameters it takes. It runs when they are asked for, as with
    :func:`run_sql`.

    Raises:
        QueryError: DuckDB refused it.
    """
    return run_sql(connection, statement(name), parameters)


def run_sql(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, object] | Sequence[object] | None = None
) -> duckdb.DuckDBPyRelation:
    """The rows of ``sql``. A SELECT runs when its rows are asked for: do that with :func:`fetched`, or under
    :func:`query_errors`.

    Raises:
        QueryError: DuckDB refused it, or there is no statement in it.
    """
    with query_errors(sql):
        relation: duckdb.DuckDBPyRelation | None = connection.sql(sql, params=parameters)
    if relation is None:
        raise QueryError("there is no statement to run", sql)
    return relation


def rows(
    connection: duckdb.DuckDBPyConnection, name: str, parameters: Mapping[str, object] | None = None
) -> list[dict[str, Any]]:
    """The rows of the query ``name``, each as a dict by column.

    Raises:
        QueryError: DuckDB refused it.
    """
    relation = query(connection, name, parameters)
    return [dict(zip(relation.columns, row, strict=True)) for row in fetched(relation)]


def fetched(relation: duckdb.DuckDBPyRelation) -> list[tuple[Any, ...]]:
    """All rows of a relation.

    Raises:
        QueryError: DuckDB refused it.
        StoreError: a Parquet file cannot be read.
    """
    with query_errors(relation.sql_query()):
        return relation.fetchall()


def arrow_table(relation: duckdb.DuckDBPyRelation) -> pa.Table:
    """All rows of a relation, as :func:`fetched`."""
    with query_errors(relation.sql_query()):
        return relation.to_arrow_table()


def progression(connection: duckdb.DuckDBPyConnection, k: float, initial: float) -> None:
    """Makes the table ``progression``: the rows of ``elo_progression_with(k, initial)`` in their order.

    They are computed whenever the table is read, and never in memory all at once.
    """
    connection.register("progression", folds.Progression(databases.again(connection), k, initial))


def settle(connection: duckdb.DuckDBPyConnection, *names: str) -> None:
    """Puts tables of their rows in the place of views, in this order: what is asked several times is computed once.

    Raises:
        QueryError: DuckDB refused it.
        StoreError: a Parquet file cannot be read.
    """
    for name in names:
        with query_errors(f"FROM {name}"):
            connection.execute(f"CREATE TABLE settled AS FROM {name}")
            connection.execute(f"DROP VIEW {name}")
            connection.execute(f"ALTER TABLE settled RENAME TO {name}")


def materialise(connection: duckdb.DuckDBPyConnection, name: str, table: str) -> None:
    """Makes a table of the rows of the query ``name``.

    Raises:
        QueryError: DuckDB refused it.
        StoreError: a Parquet file cannot be read.
    """
    with query_errors(statement(name)):
        query(connection, name).create(table)


@contextmanager
def query_errors(sql: str) -> Iterator[None]:
    """Raises DuckDB's errors as :class:`~pokeladder.errors.QueryError` of the statement ``sql``.

    Raises:
        StoreError: one is about a Parquet file.
        KeyboardInterrupt: the user ended the query.
    """
    try:
        yield
    except RuntimeError as error:
        if INTERRUPTED not in str(error):
            raise
        raise KeyboardInterrupt from error
    except UnicodeEncodeError as error:
        raise QueryError(f"it is not UTF-8: {error.reason} at character {error.start + 1}", sql) from error
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        if KeyboardInterrupt.__name__ in str(error):
            # Raised in a function of ours that the query calls.
            raise KeyboardInterrupt from error
        if ".parquet" not in str(error):
            raise QueryError(str(error), sql) from error
        # What follows is where in the views' own text it happened.
        reason = str(error).partition("\n")[0]
        raise StoreError(
            f"{reason}; ask again, and if that is a file of the store, `pokeladder check` says what is broken"
        ) from error
    except duckdb.InterruptException as error:
        raise KeyboardInterrupt from error
    except duckdb.Error as error:
        raise QueryError(str(error), sql) from error


def write_query(connection: duckdb.DuckDBPyConnection, name: str, parameters: Mapping[str, object], path: Path) -> None:
    """Writes the rows of the query ``name`` as CSV (:mod:`pokeladder.query.csv_files`), or its one JSON document if
    ``path`` ends in ``.json``.

    A column ``cells`` of lists, the last, becomes a column for each row, named after that row's first value.

    Raises:
        QueryError: DuckDB refused it.
        OSError: the file cannot be written.
    """
    rows = query(connection, name, parameters)
    with query_errors(statement(name)):
        if path.suffix == ".json":
            ((document,),) = rows.fetchall()
            path.write_text(f"{document}\n")
            return
        if rows.columns[-1] == "cells":
            csv_files.write_square(rows, path)
            return
        # DuckDB's own message on a file that it cannot write names a statement, which is not at fault.
        path.touch()
        csv_files.write_csv(rows, path)


def _create(
    connection: duckdb.DuckDBPyConnection,
    sources: Mapping[str, Sequence[str]],
    conditions: Sequence[Expression],
    *,
    instead: Mapping[str, str | None],
    by_version: bool,
    items: Sequence[str],
) -> None:
    """Makes views and macros; ``battles`` keeps the rows that meet the conditions.

    Args:
        instead: the texts that stand in for some, None to leave one out.
    """
    tables = _read(connection, sources)
    for name, source in tables.items():
        source.limit(0).create(name)
    for item in items:
        used = instead.get(item, item)
        if used is None:
            continue
        _create_item(connection, item, used)
        if item == "views/battles" and (conditions or by_version):
            battles = connection.sql(text(item)).set_alias("battles")
            for condition in conditions:
                battles = battles.filter(condition)
            if by_version:
                battles = battles.project(_NAMED_BY_VERSION)
            battles.create_view("battles", replace=True)
    for name in tables:
        connection.execute(f"DROP TABLE {name}")
    _create_sources(connection, sources, tables)


@cache
def _without_sources(columns: tuple[tuple[Any, ...], ...]) -> bytes:
    """A database file with all views and macros, but without the sources that they read. It takes 0.4 s to make.

    Args:
        columns: of each source its name, and the names and types of its columns.
    """
    with Scratch() as folder:
        made = folder / "views.duckdb"
        with connections.connect(made, storage_compatibility_version=STORAGE_VERSION) as connection:
            connection.execute("BEGIN")
            for source, *fields in columns:
                typed = ", ".join(f'"{name}" {kind}' for name, kind in fields)
                connection.execute(f"CREATE TABLE {source} ({typed})")
            for item in VIEWS:
                _create_item(connection, item, item)
            _comment(connection)
            for source, *_ in columns:
                connection.execute(f"DROP TABLE {source}")
            connection.execute("COMMIT")
        return made.read_bytes()


def _create_item(connection: duckdb.DuckDBPyConnection, item: str, used: str) -> None:
    """Makes one of :data:`VIEWS` of the text ``used``.

    DuckDB lists a view's files whenever it checks a view over it, so the sources are empty tables meanwhile.
    """
    kind, name = item.split("/")
    connection.execute(text(used) if kind == "macros" else f"CREATE VIEW {name} AS {text(used)}")


def _create_sources(
    connection: duckdb.DuckDBPyConnection,
    sources: Mapping[str, Sequence[str]],
    tables: Mapping[str, duckdb.DuckDBPyRelation],
    guard: str | None = None,
) -> None:
    """Makes the views that read files.

    Args:
        tables: what :func:`_read` finds.
        guard: a condition on the sources of which no file is ever merged; every view reads one of them.
    """
    # The others read one of those that are whole.
    for name, source in sorted(tables.items(), key=lambda item: item[0] not in WHOLE):
        if name in WHOLE:
            (source.filter(guard) if guard else source).create_view(name)
        else:
            files, mixed = ConstantExpression(sources[name]), name in MIXED
            connection.execute(f"CREATE VIEW {name} AS FROM current_rows({files}, {mixed})")


def _read(
    connection: duckdb.DuckDBPyConnection, sources: Mapping[str, Sequence[str]]
) -> dict[str, duckdb.DuckDBPyRelation]:
    # Without hive_partitioning a folder named a=b does not add a column.
    return {
        name: connection.read_parquet(paths, hive_partitioning=False, filename=True) for name, paths in sources.items()
    }
