"""The SQL texts of the package ``pokeladder.sql``: one file a view, macro or query, named after what it makes."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def text(item: str) -> str:
    """The text of ``sql/<item>.sql``."""
    return files("pokeladder.sql").joinpath(f"{item}.sql").read_text(encoding="utf-8")


def statement(name: str) -> str:
    """The text of the query ``sql/queries/<name>.sql``."""
    return text(f"queries/{name}")
