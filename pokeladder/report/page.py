"""Reports: pictures, a summary as CSV, and an HTML page with all of it that needs no network."""

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
# Views that several pictures and tables read, each after those that it reads.
SETTLED = ("repeated_battles", "internal.matchup_totals", "ratings", "internal.agent_order", "matchups", "statistics")
# Scale of PNG pictures, for screens of high resolution and print.
SCALE = 2.0


def write_report(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    k_factor: float,
    initial_rating: float,
    kinds: Sequence[Kind],
    watch: Callable[[Path], None],
) -> list[Path]:
    """Writes the report of the connection's battles, which have one format.

    Args:
        kinds: file types of the pictures.
        watch: called with each file once it is written.

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


# The SQL of each part of the page, for `pokeladder sql` or any DuckDB client.
QUERIES = {
    "Standings": "FROM ratings",
    "Elo over time": "FROM elo_progression ORDER BY format, seq",
    "Who beats whom": "FROM matchups",
    "Statistics": "FROM statistics",
    "Glicko-1 and GXE": "FROM glicko",
}
