"""DuckDB connections with the settings of this package."""

from __future__ import annotations

from pathlib import Path

import duckdb

# Queries never download extensions, and neither read nor write secrets in the user's home folder.
SETTINGS = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_persistent_secrets": False,
}


def connect(
    database: str | Path = ":memory:", **settings: str | bool | int | float | list[str]
) -> duckdb.DuckDBPyConnection:
    """A connection to a new database in memory, or to a file."""
    return duckdb.connect(database, config={**SETTINGS, **settings})
