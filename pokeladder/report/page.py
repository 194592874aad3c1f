"""A report: pictures, a summary, and one page with everything that works without a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
from jinja2 import Environment, PackageLoader, StrictUndefined

from pokeladder.errors import StoreError
from pokeladder.query import statements, views
from pokeladder.report import charts
from pokeladder.report.drawing import Drawer, Kind

SUMMARY_FILE = "tournament_summary.csv"
PAGE_FILE = "index.html"
# The views that most of the pictures and tables are made of, each after those that it reads.
SETTLED = ("repeated_battles", "internal.matchup_totals", "ratings", "internal.agent_order", "matchups", "statistics")
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
    views.settle(connection, *SETTLED)
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
            statements.write_query(connection, "tournament_summary", settings, path)
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
    environment = Environment(loader=PackageLoader("pokeladder.report", ""), autoescape=True, undefined=StrictUndefined)
    environment.filters |= {"fixed": _fixed, "percent": _percent}
    (((about),),) = statements.tuples(connection, "report_about")
    return environment.get_template("report_page.html").render(
        about=about or "No rated battles yet.",
        standings=[charts.with_names_drawn(row) for row in statements.rows(connection, "tournament_summary", settings)],
        matchups=[charts.with_names_drawn(row) for row in statements.rows(connection, "report_matchups")],
        queries=QUERIES,
        specs=specs,
        library=script,
    )


def _fixed(value: float | None, digits: int = 0, unit: str = "") -> str:
    """A number with ``digits`` decimals and thousands separators; an empty text for None."""
    return "" if value is None else f"{value:,.{digits}f}{unit}"


def _percent(share: float | None) -> str:
    return "" if share is None else _fixed(100 * share, 1, "%")


# What each part of the page shows, for any DuckDB client on pokeladder.duckdb, or `pokeladder sql`.
QUERIES = {
    "Standings": "FROM ratings",
    "Elo over time": "FROM elo_progression ORDER BY format, seq",
    "Who beats whom": "FROM matchups",
    "Statistics": "FROM statistics",
    "Glicko-1 and GXE": "FROM glicko",
}
