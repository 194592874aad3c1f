"""DuckDB connections with the settings that hold for all of this package."""

from __future__ import annotations

from pathlib import Path

import duckdb

# A query never fetches code from the network, and neither reads nor leaves secrets in the user's home.
SETTINGS = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_persistent_secrets": False,
}


def connect(
    database: str | Path = ":memory:", **settings: str | bool | int | float | list[str]
) -> duckdb.DuckDBPyConnection:
    """A connection to a database of its own in memory, or to a file."""
    return duckdb.connect(database, config={**SETTINGS, **settings})
