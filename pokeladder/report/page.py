"""A report: pictures, a summary, and one page with everything that works without a network."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import duckdb

from pokeladder.errors import StoreError
from pokeladder.query import views
from pokeladder.report import charts
from pokeladder.report.drawing import Drawer, Kind

SUMMARY_FILE = "tournament_summary.csv"
PAGE_FILE = "index.html"
# Twice the pixels, for screens and print.
SCALE = 2.0


def write_report(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    k_factor: float,
    initial_rating: float,
    kinds: Sequence[Kind],
    watch: Callable[[Path], None],
) -> list[Path]:
    """Writes the report of the connection's battles, all of one format.

    Args:
        kinds: of the pictures.
        watch: told each file when it is there.

    Raises:
        StoreError: a file cannot be written.
        DrawingError: a chart cannot be drawn.
    """
    # Most of the pictures and tables are made of these.
    views.settle(connection, "repeated_battles", "matchup_totals", "ratings", "agent_order", "matchups", "statistics")
    made = {
        "elo_rankings": charts.rankings(connection),
        "elo_progression": charts.progression(connection, k_factor, initial_rating),
        "winrate_heatmap": charts.heatmap(connection),
        "statistics_comparison": charts.statistics(connection),
    }
    specs = {name: chart.to_dict() for name, chart in made.items()}
    settings = {"k": k_factor, "initial": initial_rating}
    written: list[Path] = []
    path = folder

    def done(path: Path) -> None:
        written.append(path)
        watch(path)

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with Drawer() as drawer:
            for name, spec in specs.items():
                for kind in kinds:
                    path = folder / f"{name}.{kind}"
                    path.write_bytes(drawer.draw(spec, kind, SCALE if kind == "png" else 1))
                    done(path)
            path = folder / SUMMARY_FILE
            views.write_query(connection, "tournament_summary", settings, path)
            done(path)
            path = folder / PAGE_FILE
            path.write_text(_page(connection, specs, settings, drawer.script()), encoding="utf-8")
            done(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error}; name another folder with --output-dir") from error
    return written


def _page(
    connection: duckdb.DuckDBPyConnection, specs: Mapping[str, Any], settings: Mapping[str, object], script: str
) -> str:
    template = Template((files("pokeladder.report") / "report_page.html").read_text(encoding="utf-8"))
    standings = [charts.with_names_drawn(row) for row in views.rows(connection, "tournament_summary", settings)]
    matchups = [charts.with_names_drawn(row) for row in views.rows(connection, "report_matchups")]
    (((about),),) = views.fetched(views.query(connection, "report_about"))
    return template.substitute(
        about=html.escape(about or "No rated battles yet."),
        standings=_table(standings, STANDINGS, agents=True),
        matchups=_table(matchups, MATCHUPS, agents=False),
        queries="\n".join(
            f"<h3>{html.escape(title)}</h3>\n<pre>{html.escape(sql)}</pre>" for title, sql in QUERIES.items()
        ),
        specs=_script_json(specs),
        library=script,
    )


def _script_json(value: object) -> str:
    """JSON that cannot end the script element that it stands in."""
    return json.dumps(value).replace("<", "\\u003c")


def _number(digits: int, factor: float = 1, unit: str = "") -> Callable[[Any], str]:
    return lambda value: "" if value is None else f"{factor * value:,.{digits}f}{unit}"


def _text(value: Any) -> str:
    return "" if value is None else str(value)


# Heads, the columns that they show, and how.
STANDINGS = {
    "Rank": ("rank", _text),
    "Agent": ("agent", _text),
    "Rating": ("rating", _number(0)),
    "Low": ("low", _number(0)),
    "High": ("high", _number(0)),
    "Status": ("status", _text),
    "Elo": ("elo", _number(0)),
    "GXE": ("gxe", _number(1, unit="%")),
    "Games": ("games", _number(0)),
    "Wins": ("wins", _number(0)),
    "Losses": ("losses", _number(0)),
    "Ties": ("ties", _number(0)),
    "Score": ("win_rate", _number(1, 100, "%")),
    "Invalid decisions": ("invalid_rate", _number(1, 100, "%")),
}
MATCHUPS = {
    "Agent": ("agent", _text),
    "Opponent": ("opponent", _text),
    "Games": ("games", _number(0)),
    "Score": ("win_rate", _number(1, 100, "%")),
    "Low": ("win_rate_low", _number(1, 100, "%")),
    "High": ("win_rate_high", _number(1, 100, "%")),
    "Elo": ("elo_difference", _number(1)),
    "±": ("elo_margin", _number(1)),
    "LOS": ("los", _number(1, 100, "%")),
}
# What each part of the page shows, for any DuckDB client on pokeladder.duckdb, or `pokeladder sql`.
QUERIES = {
    "Standings": "FROM ratings JOIN agent_order USING (format, agent) ORDER BY format, place",
    "Elo over time": "FROM elo_progression ORDER BY format, seq",
    "Who beats whom": "FROM matchups_with()",
    "Statistics": "FROM statistics",
    "Glicko-1 and GXE": "FROM glicko",
}


def _table(
    rows: Sequence[dict[str, Any]], columns: dict[str, tuple[str, Callable[[Any], str]]], *, agents: bool
) -> str:
    head = "".join(f"<th>{html.escape(title)}</th>" for title in columns)
    body = []
    for row in rows:
        cells = "".join(
            f"<td{'' if show is _text else ' class=number'}>{html.escape(show(row[name]))}</td>"
            for name, show in columns.values()
        )
        chooser = f' data-agent="{html.escape(row["agent"])}" tabindex="0"' if agents else ""
        body.append(f"<tr{chooser}>{cells}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n" + "\n".join(body) + "\n</tbody></table>"
