"""Prints, as JSON, what a DuckDB of any version answers: run by tests in the environments of other versions.

Takes the database as its argument and a list of queries on standard input; prints the version, and of each query the
columns and rows, or the error.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import duckdb


def answers(database: str, queries: list[str]) -> list[Any]:
    with duckdb.connect(database, read_only=True) as connection:
        return [answer(connection, query) for query in queries]


def answer(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    try:
        found = connection.sql(query)
        return json.loads(json.dumps([found.columns, found.fetchall()], default=str))
    except duckdb.Error as error:
        return str(error)


if __name__ == "__main__":
    print(json.dumps([duckdb.__version__, answers(sys.argv[1], json.load(sys.stdin))]))  # noqa: T201
