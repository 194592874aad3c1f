"""Prints relations: as tables for people, as CSV, JSON and Parquet for programs."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import click
import duckdb
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pokeladder.names import shown
from pokeladder.query.csv_files import write_csv
from pokeladder.query.statements import query_errors

WIDTH = 100
ROWS_SHOWN = 50
# Smallest width of a column with its gap.
NARROWEST = 10
# Cells that are aligned on the right: numbers, with a sign or a percent sign, and empty ones.
NUMBER = re.compile(r"([+-]?[\d.,]+%?)?")


def console(*, stderr: bool = False) -> Console:
    """A console: coloured on a terminal, of fixed width elsewhere."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, highlight=False, width=None if stream.isatty() else WIDTH)


def say(text: str, *, err: bool = False) -> None:
    """Prints text that may contain foreign names, paths or messages, with control characters escaped."""
    click.echo(shown(text, "\n\t"), err=err)


def print_data(text: str) -> None:
    """Prints text unchanged for programs, and as :func:`say` does on a terminal."""
    if sys.stdout.isatty():
        say(text)
    else:
        click.echo(text)


def print_relation(relation: duckdb.DuckDBPyRelation, output: str) -> None:
    """Prints all rows, in a table the first ones.

    Args:
        output: table, csv, json or parquet.

    Raises:
        QueryError: the query failed.
    """
    with query_errors(relation.sql_query()):
        _print(relation, output)


def _print(relation: duckdb.DuckDBPyRelation, output: str) -> None:
    if output == "table":
        rows = relation.limit(ROWS_SHOWN + 1).fetchall()
        _print_rows(relation.columns, rows[:ROWS_SHOWN])
        if len(rows) > ROWS_SHOWN:
            click.echo(f"The first {ROWS_SHOWN} rows; --format csv prints all.", err=True)
        return
    if output == "parquet" and sys.stdout.isatty():
        raise click.UsageError("Parquet cannot be printed on a terminal: redirect it with > FILE.parquet")
    if output == "json":
        _print_json(relation)
        return
    with _written(relation, output) as file:
        if output == "csv" and sys.stdout.isatty():
            for line in io.TextIOWrapper(file, encoding="utf-8", newline=""):
                click.echo(shown(line, "\n\t"), nl=False)
        else:
            shutil.copyfileobj(file, sys.stdout.buffer)


@contextmanager
def _written(relation: duckdb.DuckDBPyRelation, output: str) -> Iterator[BinaryIO]:
    """The content of a CSV or Parquet file with all rows, while DuckDB writes it.

    Through a pipe: a temporary file might fill the disk, and to remove a large one takes seconds, also after Ctrl-C.

    Raises:
        duckdb.Error: the query failed; after the block.
    """
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb"):
            path = Path(f"/dev/fd/{writing}")
            if output == "csv":
                write_csv(relation, path)
            else:
                relation.to_parquet(str(path))

    # If the block ends early, the pipe is closed first, which ends the writing.
    with ThreadPoolExecutor(1) as pool, open(reading, "rb") as file:
        written = pool.submit(write)
        yield file
        written.result()


def _print_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Prints a table, or a block for each row if columns would become too narrow."""
    out = console()
    if len(columns) * NARROWEST <= out.width or not rows:
        out.print(table(columns, rows))
        return
    indent = max(map(len, columns)) + 2
    for number, row in enumerate(rows):
        if number:
            out.print()
        for name, value in zip(columns, row, strict=True):
            out.print(Text.assemble((f"{shown(name):<{indent}}", "bold"), _plain(value)), soft_wrap=True)


def _print_json(relation: duckdb.DuckDBPyRelation) -> None:
    """Prints an array of objects, one row for each line."""
    out = sys.stdout.buffer
    on_terminal = sys.stdout.isatty()
    before = b"[\n"
    for row in relation.iter_rows():
        line = orjson.dumps(dict(zip(relation.columns, row, strict=True)), default=str)
        out.write(before + (_in_ascii(line) if on_terminal else line))
        before = b",\n"
    out.write(b"[]\n" if before == b"[\n" else b"\n]\n")


def _in_ascii(document: bytes) -> bytes:
    """The same JSON with all characters outside of ASCII escaped, since some of them control terminals."""
    text = document.decode()
    return document if text.isprintable() else json.dumps(orjson.loads(document)).encode()


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """A plain table without lines, with numbers aligned on the right."""
    drawn = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for number, name in enumerate(columns):
        values = [row[number] for row in rows]
        numeric = values and all(isinstance(value, int | float) or NUMBER.fullmatch(str(value)) for value in values)
        drawn.add_column(Text(shown(name)), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(_plain(value)) for value in row))
    return drawn


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with a noun in the singular or plural."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 10 else f"{value:.1f}"
    return shown(str(value), "\n\t")
