"""CSV files without formulas.

Spreadsheets run text that begins with one of ``= + - @``, a tab or a line break as a formula, and names of agents can
be chosen by anybody. Such text gets a ``'`` in front, unless it is a number or a single sign; so does text that begins
with ``'`` followed by one of these. Removing one ``'`` from each text that begins so restores the texts. Numbers are
not changed.
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
# Types that can contain any text.
TEXTS = {"varchar", "enum", "blob", "union", "variant"}


def write_csv(relation: duckdb.DuckDBPyRelation, path: Path) -> None:
    """Writes the rows of a relation with a header."""
    relation.project(*_cells(relation)).write_csv(str(path))


def write_square(relation: duckdb.DuckDBPyRelation, path: Path) -> None:
    """Writes rows of a name and a list of cells, as columns that have the rows' names.

    Not by DuckDB, where names of columns cannot differ in case only, as names of agents can.
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
