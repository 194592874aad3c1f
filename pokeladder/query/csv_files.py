"""CSV files that spreadsheets open as data.

A spreadsheet takes a text that begins with one of ``= + - @``, a tab or a line break for a formula, and names of agents
come from anywhere. Such a text gets ``'`` in front, unless it is a number or a sign alone; so does one that begins with
``'`` and then one of these. Whoever takes one ``'`` from each text that begins so has the texts back. Numbers stay as
they are.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import duckdb
from duckdb import CaseExpression, ConstantExpression, Expression, FunctionExpression, SQLExpression

# Patterns of both DuckDB and Python. The last four signs are the wide ones of East Asian fonts.
FORMULA = "'*[=+\\-@\\t\\r\\n\uff1d\uff0b\uff0d\uff20](.|\\s)*"
NUMBER = "[+-]?[0-9]*[.]?[0-9]*%?"
# Types whose values are whatever somebody wrote; all others look like formulas only where they are numbers.
TEXTS = {"varchar", "enum", "blob", "union", "variant"}


def write_csv(relation: duckdb.DuckDBPyRelation, path: Path) -> None:
    """Writes the rows of a relation, with a header."""
    relation.project(*_cells(relation)).write_csv(str(path))


def write_square(relation: duckdb.DuckDBPyRelation, path: Path) -> None:
    """Writes rows of a name and a list of cells, with a column of each row's name.

    By hand, since DuckDB cannot have two columns that differ in case only, as names of agents may.
    """
    rows = [[cell(name), *map(cell, cells)] for name, cells in relation.fetchall()]
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([cell(relation.columns[0]), *(row[0] for row in rows)])
        table.writerows(rows)


def cell(text: str) -> str:
    """A text as it stands in such a file."""
    return f"'{text}" if re.fullmatch(FORMULA, text) and not re.fullmatch(NUMBER, text) else text


def _cells(relation: duckdb.DuckDBPyRelation) -> list[Expression]:
    """All columns, as :func:`cell` where they are texts; by their places, since several may have one name."""
    columns = [SQLExpression(f"#{place}") for place in range(1, len(relation.columns) + 1)]
    return [
        (_cell(column) if kind.id in TEXTS else column).alias(cell(name))
        for column, name, kind in zip(columns, relation.columns, relation.types, strict=True)
    ]


def _cell(column: Expression) -> Expression:
    text = column.cast("VARCHAR")
    formula, number = (
        FunctionExpression("regexp_full_match", text, ConstantExpression(pattern)) for pattern in (FORMULA, NUMBER)
    )
    return CaseExpression(formula & ~number, FunctionExpression("concat", ConstantExpression("'"), text)).otherwise(
        text
    )
