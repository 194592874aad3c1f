"""Tables of ratings, matchups and statistics, at most 100 characters wide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import duckdb
from rich.table import Table

from pokeladder.cli.output import console, say, table
from pokeladder.names import with_names_shown
from pokeladder.query.statements import fetched

Row = Mapping[str, Any]
Columns = Mapping[str, Callable[[Row], Any]]
# Rates of invalid decisions by format and agent.
Marked = Mapping[tuple[str, str], float]
NONE_MARKED: Marked = {}
MARK = "(!)"


def print_table(relation: duckdb.DuckDBPyRelation, columns: Columns, marked: Marked = NONE_MARKED) -> None:
    """Prints the rows, and explains marks of agents on stderr."""
    console().print(drawn(relation, columns, marked))
    if marked:
        told = ", ".join(f"{agent} {_percent(rate)}" for (_, agent), rate in marked.items())
        say(
            f"{MARK} more than 5% of the decisions were invalid and replaced by random ones ({told}): see `pokeladder "
            "stats`, and the agent's output in the logs of its runs",
            err=True,
        )


def drawn(relation: duckdb.DuckDBPyRelation, columns: Columns, marked: Marked = NONE_MARKED) -> Table:
    """The relation's rows as a table, with a first column of formats if there are several.

    Args:
        marked: formats and agents whose names get a mark.
    """
    rows = [dict(zip(relation.columns, row, strict=True)) for row in fetched(relation)]
    found = [with_names_shown(row) for row in rows]
    for row, shown_row in zip(rows, found, strict=True):
        if (row["format"], row.get("agent")) in marked:
            shown_row["agent"] = f"{shown_row['agent']} {MARK}"
    if len({row["format"] for row in found}) > 1:
        columns = {"format": lambda row: row["format"], **columns}
    return table(list(columns), [[cell(row) for cell in columns.values()] for row in found])


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}%"


def _rounded(mean: float | None) -> float | None:
    return None if mean is None else round(mean, 1)


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.1f}"


def _ranks(row: Row) -> str:
    low, high = row["rank_low"], row["rank_high"]
    return "" if low is None else str(low) if low == high else f"{low} to {high}"


def _results(row: Row) -> str:
    return f"{row['wins']}–{row['losses']}–{row['ties']}"  # noqa: RUF001


def _interval(row: Row) -> str:
    return f"{100 * row['win_rate_low']:.1f} to {100 * row['win_rate_high']:.1f}%"


STANDINGS_COLUMNS: Columns = {
    "rank": lambda row: row["rank"],
    "agent": lambda row: row["agent"],
    "elo": lambda row: round(row["elo"], 1),
    "games": lambda row: row["games"],
    "W–L–T": _results,  # noqa: RUF001
    "win rate": lambda row: _percent(row["win_rate"]),
    "95% interval": _interval,
}
RATING_COLUMNS: Columns = {
    "rank": lambda row: row["rank"],
    "agent": lambda row: row["agent"],
    "rating": lambda row: _rounded(row["rating"]),
    "95% interval": lambda row: "" if row["low"] is None else f"{row['low']:.0f} to {row['high']:.0f}",
    "ranks": lambda row: _ranks(row),
    "games": lambda row: row["games"],
}
# For agents of which some are not comparable.
STATUS_COLUMNS: Columns = {
    "component": lambda row: row["component"] if row["rating"] is not None else None,
    "status": lambda row: row["status"],
}
SHIFT_COLUMNS: Columns = {"shift": lambda row: _signed(row["shift"])}
GLICKO_COLUMNS: Columns = {
    "rank": lambda row: row["rank"],
    "agent": lambda row: row["agent"],
    "glicko": lambda row: _rounded(row["glicko"]),
    "deviation": lambda row: _rounded(row["deviation"]),
    "GXE": lambda row: f"{row['gxe']:.1f}%",
    "games": lambda row: row["games"],
}
MATCHUP_COLUMNS: Columns = {
    "agent": lambda row: row["agent"],
    "opponent": lambda row: row["opponent"],
    "games": lambda row: row["games"],
    "W–L–T": _results,  # noqa: RUF001
    "win rate": lambda row: _percent(row["win_rate"]),
    "95% interval": _interval,
    "Elo": lambda row: _signed(row["elo_difference"]),
    "±": lambda row: "" if row["elo_margin"] is None else f"{row['elo_margin']:.1f}",
    "LOS": lambda row: _percent(row["los"]),
}
SPRT_COLUMNS: Columns = {
    **{head: cell for head, cell in MATCHUP_COLUMNS.items() if head != "95% interval"},
    "LLR": lambda row: f"{row['llr']:.2f}",
    "SPRT": lambda row: row["sprt"],
}
STATISTICS_COLUMNS: Columns = {
    "agent": lambda row: row["agent"],
    "games": lambda row: row["games"],
    "win rate": lambda row: _percent(row["win_rate"]),
    "turns": lambda row: _rounded(row["avg_turns"]),
    "steps": lambda row: _rounded(row["avg_steps"]),
    "invalid": lambda row: row["invalid_actions"],
    "invalid rate": lambda row: _percent(row["invalid_rate"]),
    "forfeits": lambda row: row["forfeits"],
}
