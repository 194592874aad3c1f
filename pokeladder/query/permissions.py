"""Permissions of SQL that users write: reading, and on request writing outside of the store.

DuckDB has no such setting: where it may read, it may write. Each statement is therefore checked before it runs, by its
kind and by the plan that DuckDB makes of it, since a WITH clause can contain a COPY.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
from duckdb import Statement

from pokeladder.errors import QueryError
from pokeladder.query.statements import query_errors, run_sql

READ = {"SELECT", "EXPLAIN", "SET"}
# Of these, all but COPY change only what is in memory.
WRITE = {"CREATE", "CREATE_FUNC", "INSERT", "UPDATE", "DELETE", "MERGE_INTO", "ALTER", "DROP", "TRANSACTION", "COPY"}
# First words of statements that pivot, which DuckDB splits into several statements.
PARTS = dict.fromkeys(["SELECT", "FROM", "WITH", "PIVOT", "UNPIVOT", "PIVOT_WIDER", "PIVOT_LONGER", "("], "SELECT")
PARTS |= {kind: kind for kind in ("EXPLAIN", "COPY", "CREATE", "INSERT")}
# Operators of a plan that write files, or run SQL that no plan shows.
OUTSIDE = re.compile("COPY|SERIALIZED_SQL|EXTERNAL_RESOURCE|GRAMMAR_EXTENSION")
# Options by which a COPY writes files of other names.
NAMING = {"filename", "filename_pattern", "file_extension", "hive_file_pattern"}
EXPLAIN = "EXPLAIN (FORMAT json)\n"


def checked(connection: duckdb.DuckDBPyConnection, sql: str, *, write: bool, store: Path) -> list[str]:
    """The statements of a text, for :func:`run`.

    Args:
        connection: a connection, which parses them.
        write: whether they may make tables in memory, and COPY to files outside of the folder ``store``.

    Raises:
        QueryError: there is no statement, or one is not allowed.
    """
    with query_errors(sql):
        # DuckDB's own error on text that is not UTF-8 names no reason.
        sql.encode()
        statements = connection.extract_statements(sql)
    if not statements:
        raise QueryError("there is no statement to run", sql)
    for statement in statements:
        _check_kind(connection, statement, write=write, store=store)
    return [statement.query for statement in statements]


def run(
    connection: duckdb.DuckDBPyConnection, statements: Sequence[str], parameters: Mapping[str, object] | None
) -> duckdb.DuckDBPyRelation:
    """Runs statements of :func:`checked`; the rows of the last one, which gets the parameters.

    Args:
        connection: a connection with ``lock_configuration``.

    Raises:
        QueryError: DuckDB refused a statement, or it is not allowed; the statements before it were run.
    """
    for text in statements[:-1]:
        _check_plan(connection, text, None)
        with query_errors(text):
            connection.execute(text)
    _check_plan(connection, statements[-1], parameters)
    return run_sql(connection, statements[-1], parameters)


def _check_kind(connection: duckdb.DuckDBPyConnection, statement: Statement, *, write: bool, store: Path) -> None:
    text = statement.query
    kind, words = _kind(statement), list(_words(text))
    if kind == "EXPLAIN":
        with query_errors(text):
            explained = connection.extract_statements(_explained(text))
        for one in explained:
            _check_kind(connection, one, write=write, store=store)
    elif kind == "SET" and "VARIABLE" not in [word.upper() for word, _ in words[1:3]]:
        raise QueryError("settings cannot be changed here, except with SET VARIABLE: use another DuckDB client", text)
    elif kind in WRITE and not write:
        raise QueryError(f"{kind} writes, which is not allowed: add --write, or write=True in Python", text)
    elif kind not in READ | WRITE:
        raise QueryError(
            f"{words[0][0].upper()} is not allowed here: use another DuckDB client, and read pokeladder.duckdb with it",
            text,
        )
    if kind == "COPY":
        _check_target(text, store)
    if kind in ("CREATE", "CREATE_FUNC"):
        # A macro can be used where no plan is checked.
        _check_texts(text)


def _kind(statement: Statement) -> str:
    """The name of a :class:`duckdb.StatementType`, for a statement that pivots that of all its parts.

    Raises:
        QueryError: such a statement is not to run.
    """
    try:
        kind: str = statement.type.name
    except ValueError:
        # A kind that the Python package of DuckDB lacks.
        return "this statement"
    if kind != "MULTI":
        return kind
    _check_parts(statement.query)
    first = next(word for word, _ in _words(statement.query))
    return PARTS.get(first.upper(), "this statement")


def _check_parts(text: str) -> None:
    """Checks the text of a statement that pivots, since making its plan runs its first parts.

    Raises:
        QueryError: the statement may do more than pivot.
    """
    _check_texts(text)
    if ("(", "COPY") in pairwise(word.upper() for word, _ in _words(text)):
        raise QueryError("COPY in parentheses is not allowed in a statement that pivots", text)


def _check_texts(text: str) -> None:
    """
    Raises:
        QueryError: a statement may make SQL out of texts.
    """
    found = {word.strip('"').upper() for word, _ in _words(text)} & {"QUERY", "JSON_EXECUTE_SERIALIZED_SQL"}
    if found:
        raise QueryError(f"{found.pop().lower()} is not allowed in a statement that pivots or makes macros", text)


def _check_target(text: str, store: Path) -> None:
    """
    Raises:
        QueryError: a COPY may write into the store, or its target is not clear.
    """
    target, options = _target(text)
    if target is None:
        return
    if not re.fullmatch(r"'([^'~]|'')([^']|'')*'", target) or re.match(r"'\w+:", target):
        raise QueryError("the target of COPY must be a plain file name in single quotes", text)
    if NAMING & options:
        raise QueryError(f"COPY with {', '.join(sorted(NAMING & options))} is not allowed", text)
    try:
        there, here = Path(target[1:-1].replace("''", "'")).resolve(), store.resolve()
        within = _is_within(there, here) or _is_within(here, there)
    except (OSError, ValueError, RuntimeError) as error:
        raise QueryError(f"the target {target} cannot be resolved: {error}", text) from error
    if within:
        raise QueryError(f"COPY must not write into the store, or into a folder that contains it: {there}", text)


def _is_within(path: Path, folder: Path) -> bool:
    """Whether a path is a folder or inside it, also through links."""
    return any(
        above == folder or (above.exists() and folder.exists() and above.samefile(folder))
        for above in (path, *path.parents)
    )


def _target(text: str) -> tuple[str | None, set[str]]:
    """The target of a COPY as written, None if it reads, and the names after it in lower case."""
    depth = 0
    words = _words(text)
    for word, kind in words:
        depth += {"(": 1, ")": -1}.get(word, 0)
        if depth == 0 and kind == duckdb.token_type.keyword and word.upper() in ("TO", "FROM"):
            if word.upper() == "FROM":
                return None, set()
            target, _ = next(words, ("", None))
            return target, {name.strip('"').lower() for name, _ in words}
    return "", set()


def _explained(text: str) -> str:
    """A statement without its EXPLAIN."""
    data = text.encode()
    places = [(word.upper(), end) for word, _, end in _placed_words(data)]
    _, begin = places[0]
    at = 1
    if at < len(places) and places[at][0] == "ANALYZE":
        begin = places[at][1]
        at += 1
    if [word for word, _ in places[at : at + 1]] == ["("] and places[at + 1][0] in ("FORMAT", "ANALYZE"):
        begin = next(end for word, end in places[at:] if word == ")")
    return data[begin:].decode()


def _words(text: str) -> Iterator[tuple[str, duckdb.token_type]]:
    """The words of a statement, without its comments."""
    for word, kind, _ in _placed_words(text.encode()):
        yield word, kind


def _placed_words(data: bytes) -> Iterator[tuple[str, duckdb.token_type, int]]:
    """The words of a statement, and where each ends."""
    tokens = duckdb.tokenize(data.decode())
    ends = [begin for begin, _ in tokens[1:]] + [len(data)]
    for (begin, kind), end in zip(tokens, ends, strict=True):
        if kind != duckdb.token_type.comment:
            yield data[begin:end].decode().strip(), kind, end


def _check_plan(connection: duckdb.DuckDBPyConnection, text: str, parameters: Mapping[str, object] | None) -> None:
    """
    Raises:
        QueryError: the plan writes files where :func:`_check_kind` does not see it, or DuckDB refused the statement.
    """
    inner = text
    while (first := next(word.upper() for word, _ in _words(inner))) == "EXPLAIN":
        inner = _explained(inner)
    if first in ("SET", "RESET"):
        return
    with query_errors(text):
        try:
            found = connection.execute(EXPLAIN + inner, parameters).fetchall()
        except duckdb.Error as error:
            # The line of the EXPLAIN is counted.
            message = re.sub(r"\bLINE (\d+):", lambda line: f"LINE {int(line[1]) - 1}:", str(error))
            raise type(error)(message) from error
    (plan,) = json.loads(found[-1][1])
    if any(OUTSIDE.search(name) for name in _operators(plan, skip_first=first == "COPY")):
        raise QueryError("COPY inside a statement, and SQL from JSON, are not allowed", text)


def _operators(plan: dict[str, Any], *, skip_first: bool) -> Iterator[str]:
    if not skip_first:
        yield plan["name"]
    for child in plan["children"]:
        yield from _operators(child, skip_first=False)
