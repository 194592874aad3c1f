"""The views over a store's files in a connection of this process, over all battles or a slice of them.

Python functions fold battles in their order here (:mod:`pokeladder.query.folds`), which macros do for other clients
(:mod:`pokeladder.query.client_database`); all else is shared.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from itertools import chain

import duckdb
from duckdb import ColumnExpression, ConstantExpression, Expression, SQLExpression
from duckdb.sqltypes import BOOLEAN

from pokeladder.errors import QueryError
from pokeladder.query import catalogue, databases
from pokeladder.query.catalogue import VIEWS
from pokeladder.query.statements import query_errors
from pokeladder.query.texts import GAMES, query_text, text

# Agents without a version keep their names.
_NAMED_BY_VERSION = (
    "* REPLACE (coalesce(p1 || '#' || p1_version, p1) AS p1, coalesce(p2 || '#' || p2_version, p2) AS p2)"
)
# Texts that replace macros where Python functions fold; None for macros that only those use.
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
# Words of statements that list views, or compute their names.
CATALOGUE = frozenset({"show", "describe", "summarize", "information_schema", "sqlite_master", "query", "query_table"})
# DESC as a statement lists views; elsewhere it orders rows, or describes what it names.
LISTING = re.compile(r"(?:^|;)\s*desc\s*(?:;|$)", re.IGNORECASE)


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
    items: Collection[str] = VIEWS,
) -> duckdb.DuckDBPyConnection:
    """A connection to a database in memory with views; ``battles``, and all that reads it, contains a slice only.

    Relations keep the connection open.

    Args:
        sources: globs by name of source; see ``files`` of :class:`pokeladder.store.files.Store`. In names of folders
            ``[``, ``*`` and ``?`` must be written ``[[]``, ``[*]`` and ``[?]``.
        where: an SQL condition over the columns of ``battles``.
        battle_format, run: keep battles of this format, of this run.
        agents: keep battles between two of these agents.
        excluding: an SQL condition; battles that meet it are left out.
        by_version: append the version to each agent's name.
        bounded: see :func:`pokeladder.query.databases.new`.
        items: items of the catalogue to make, with all that they read; each takes milliseconds.

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
    conditions += slice_conditions(battle_format, run, agents, ("p1", "p2"))
    connection = databases.new(bounded=bounded)
    # Files never change.
    connection.execute("SET parquet_metadata_cache = true")
    with query_errors(where or excluding or "\n".join(chain(*sources.values()))):
        _create(connection, sources, items, conditions, by_version=by_version)
    for given in (where, excluding):
        if given is not None:
            condition(connection, "battles", given)
    return connection


def condition(connection: duckdb.DuckDBPyConnection, table: str, where: str) -> Expression:
    """An SQL condition over the columns of a table or view.

    Raises:
        QueryError: the text is not a condition.
    """
    with query_errors(where):
        expression = SQLExpression(where)
        (kind,) = connection.table(table).project(expression).types
    if kind != BOOLEAN:
        raise QueryError(f"this is not a condition, but a value of type {kind}", where)
    return expression


def slice_conditions(
    battle_format: str | None, run: str | None, agents: Sequence[str] | None, agent_columns: Sequence[str]
) -> list[Expression]:
    """Conditions for a format, a run, and agents in each of the columns; None is no condition."""
    conditions = [
        ColumnExpression(column) == ConstantExpression(value)
        for column, value in (("format", battle_format), ("run_id", run))
        if value is not None
    ]
    if agents is not None:
        # IN () is not valid SQL; IN (NULL) is never true.
        names = [ConstantExpression(agent) for agent in agents or (None,)]
        conditions += [ColumnExpression(column).isin(*names) for column in agent_columns]
    return conditions


def extend(connection: duckdb.DuckDBPyConnection, sources: Mapping[str, Sequence[str]], items: Collection[str]) -> None:
    """Makes further items in a connection of :func:`connect` without a slice.

    Raises:
        QueryError: the files cannot be read.
    """
    with query_errors("\n".join(chain(*sources.values()))):
        # In a transaction, so that other connections always see the sources.
        connection.execute("BEGIN")
        for name in sources:
            connection.execute(f"DROP VIEW internal.{name}")
        _create(connection, sources, items, (), by_version=False)
        connection.execute("COMMIT")


def needed(sql: str) -> tuple[str, ...]:
    """The items of the catalogue that a statement uses, directly or indirectly.

    All items, if the statement lists the catalogue or computes names.
    """
    named = catalogue.words(sql)
    if (
        named & CATALOGUE
        or LISTING.search(sql)
        or any(word.startswith(("duckdb_", "pg_", "pragma_")) for word in named)
    ):
        return VIEWS
    wanted = {"current_rows", "battles"} | named
    found = []
    # Each item comes after all that it reads.
    for item in reversed(VIEWS):
        if item.split("/")[1] in wanted:
            found.append(item)
            wanted |= _words_of(item)
    # Their functions are registered together.
    folded = FOLDED if FOLDED.keys() & set(found) else ()
    return tuple(item for item in VIEWS if item in found or item in folded)


@cache
def _words_of(item: str) -> frozenset[str]:
    used = FOLDED.get(item, item)
    if used is None:
        return frozenset()
    # Python functions that fold read the battles themselves.
    return catalogue.words(f"{text(used)}\n{query_text(GAMES)}" if item in FOLDED else text(used))


def settle(connection: duckdb.DuckDBPyConnection, *names: str) -> None:
    """Replaces views by tables of their rows, in this order, so that they are computed once.

    Raises:
        QueryError: DuckDB refused it.
        StoreError: a Parquet file cannot be read.
    """
    for name in names:
        with query_errors(f"FROM {name}"):
            schema, _, table = name.rpartition(".")
            settled = f"{schema or 'main'}.settled"
            connection.execute(f"CREATE TABLE {settled} AS FROM {name}")
            connection.execute(f"DROP VIEW {name}")
            connection.execute(f"ALTER TABLE {settled} RENAME TO {table}")


def progression(connection: duckdb.DuckDBPyConnection, k: float, initial: float) -> None:
    """Makes the table ``progression``: the rows of ``elo_progression_with(k, initial)`` in their order.

    Rows are computed whenever the table is read, and are never in memory all at once.
    """
    from pokeladder.query import folds

    connection.register("progression", folds.Progression(databases.again(connection), k, initial))


def _create(
    connection: duckdb.DuckDBPyConnection,
    sources: Mapping[str, Sequence[str]],
    items: Collection[str],
    conditions: Sequence[Expression],
    *,
    by_version: bool,
) -> None:
    """Makes the sources, and views and macros over them; ``battles`` keeps the rows that meet the conditions."""
    catalogue.create_stand_ins(connection, catalogue.columns_of(sources, connection))
    if any(item in FOLDED for item in items):
        # Imported here: it needs NumPy and Arrow, and most statements do not.
        from pokeladder.query import folds

        folds.register(connection, databases.again(connection))
    for item in VIEWS:
        used = FOLDED.get(item, item)
        if item not in items or used is None:
            continue
        catalogue.create_item(connection, item, used)
        if item == "views/battles" and (conditions or by_version):
            battles = connection.sql(text(item)).set_alias("battles")
            for condition in conditions:
                battles = battles.filter(condition)
            if by_version:
                battles = battles.project(_NAMED_BY_VERSION)
            battles.create_view("battles", replace=True)
    catalogue.create_sources(connection, sources)
