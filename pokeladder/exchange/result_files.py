"""The files that the old pipeline's users read, with its names and columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb

from pokeladder.errors import StoreError
from pokeladder.query import statements, views

ELO_FILES = {
    "elo_results_ratings": "ratings.json",
    "elo_results_progression": "progression.csv",
    "elo_results_matchup_matrix": "matchup_matrix.csv",
    "elo_results_statistics": "statistics.csv",
}


def write_elo_files(
    connection: duckdb.DuckDBPyConnection, folder: Path, prefix: str, k_factor: float, initial_rating: float
) -> list[Path]:
    """Writes ratings, progression, matchup matrix and statistics of the connection's battles, which have one format.

    Raises:
        StoreError: a file cannot be written.
    """
    views.progression(connection, k_factor, initial_rating)
    ratings = {"k": k_factor, "initial": initial_rating}
    paths = {query: folder / f"{prefix}_{ending}" for query, ending in ELO_FILES.items()}
    for query, path in paths.items():
        _write(connection, query, {} if query == "elo_results_progression" else ratings, path)
    return list(paths.values())


def write_tournament_results(connection: duckdb.DuckDBPyConnection, run_id: str, folder: Path) -> Path:
    """Writes ``tournament_results.json``: the settings of a run, and the results of each matchup.

    Raises:
        StoreError: the file cannot be written.
    """
    path = folder / "tournament_results.json"
    _write(connection, "tournament_results", {"run": run_id}, path)
    return path


def _write(connection: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, object], path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        statements.write_query(connection, query, parameters, path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error}; name another folder with --output-dir") from error
