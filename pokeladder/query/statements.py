"""Running SQL statements: their rows, and DuckDB's errors as those of pokeladder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from pokeladder.errors import QueryError, StoreError
from pokeladder.query.texts import query_text

if TYPE_CHECKING:
    import pyarrow as pa

# Message of DuckDB's RuntimeError after a signal has raised an exception in a query.
INTERRUPTED = "Query interrupted"
# In messages of DuckDB about a Parquet file, or about one that is none.
FILE_FAULT = re.compile(r"\.parquet|parquet file|magic bytes", re.IGNORECASE)


def query(
    connection: duckdb.DuckDBPyConnection, name: str, parameters: Mapping[str, object] | None = None
) -> duckdb.DuckDBPyRelation:
    """The rows of the query ``name``, whose file describes its parameters. It runs when the rows are fetched; see
    :func:`run_sql`.

    Raises:
        QueryError: DuckDB refused it.
    """
    return run_sql(connection, query_text(name), parameters)


def run_sql(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, object] | Sequence[object] | None = None
) -> duckdb.DuckDBPyRelation:
    """The rows of ``sql``. A SELECT runs when its rows are fetched: use :func:`fetched`, or :func:`query_errors`.

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


def tuples(
    connection: duckdb.DuckDBPyConnection, name: str, parameters: Mapping[str, object] | None = None
) -> list[tuple[Any, ...]]:
    """The rows of the query ``name``.

    Raises:
        QueryError: DuckDB refused it.
        StoreError: a Parquet file cannot be read.
    """
    return fetched(query(connection, name, parameters))


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


def materialise(connection: duckdb.DuckDBPyConnection, name: str, table: str) -> None:
    """Makes a table of the rows of the query ``name``.

    Raises:
        QueryError: DuckDB refused it.
        StoreError: a Parquet file cannot be read.
    """
    with query_errors(query_text(name)):
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
        if not FILE_FAULT.search(str(error)):
            raise QueryError(str(error), sql) from error
        # The other lines point into the text of a view.
        reason = str(error).partition("\n")[0]
        raise StoreError(
            f"{reason}; run it again, and if the file is in the store's folder, find the fault with `pokeladder check`"
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
    from pokeladder.query import csv_files

    rows = query(connection, name, parameters)
    with query_errors(query_text(name)):
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
