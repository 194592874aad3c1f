"""How standings, matchups and statistics look to people: at most 100 columns wide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import duckdb
from rich.table import Table

from pokeladder.cli.output import console, table

Row = Mapping[str, Any]
Columns = Mapping[str, Callable[[Row], Any]]


def print_table(relation: duckdb.DuckDBPyRelation, columns: Columns) -> None:
    console().print(drawn(relation, columns))


def drawn(relation: duckdb.DuckDBPyRelation, columns: Columns) -> Table:
    """The relation's rows under these heads; a column with the format in front where there are several."""
    found = [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
    if len({row["format"] for row in found}) > 1:
        columns = {"format": lambda row: row["format"], **columns}
    return table(list(columns), [[cell(row) for cell in columns.values()] for row in found])


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}%"


def _rounded(mean: float | None) -> float | None:
    return None if mean is None else round(mean, 1)


def _results(row: Row) -> str:
    return f"{row['wins']}–{row['losses']}–{row['ties']}"  # noqa: RUF001


def _interval(row: Row) -> str:
    return f"{_percent(row['low'])} to {_percent(row['high'])}"


STANDINGS_COLUMNS: Columns = {
    "rank": lambda row: row["rank"],
    "agent": lambda row: row["agent"],
    "elo": lambda row: round(row["elo"], 1),
    "games": lambda row: row["games"],
    "W–L–T": _results,  # noqa: RUF001
    "win rate": lambda row: _percent(row["win_rate"]),
    "95% interval": _interval,
}
MATCHUP_COLUMNS: Columns = {
    "agent": lambda row: row["agent"],
    "opponent": lambda row: row["opponent"],
    "games": lambda row: row["games"],
    "W–L–T": _results,  # noqa: RUF001
    "win rate": lambda row: _percent(row["win_rate"]),
    "95% interval": _interval,
}
STATISTICS_COLUMNS: Columns = {
    "agent": lambda row: row["agent"],
    "games": lambda row: row["games"],
    "win rate": lambda row: _percent(row["win_rate"]),
    "turns": lambda row: _rounded(row["avg_turns"]),
    "steps": lambda row: _rounded(row["avg_steps"]),
    "invalid": lambda row: row["invalid"],
    "invalid rate": lambda row: _percent(row["invalid_rate"]),
    "forfeits": lambda row: row["forfeits"],
}
