"""The SQL texts of the package ``pokeladder.sql``: one file a view, macro or query, named after what it makes."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

# The query of the battles that pokeladder.query.folds folds.
GAMES = "games_in_order"


@cache
def text(item: str) -> str:
    """The text of ``sql/<item>.sql``."""
    return files("pokeladder.sql").joinpath(f"{item}.sql").read_text(encoding="utf-8")


def query_text(name: str) -> str:
    """The text of the query ``sql/queries/<name>.sql``."""
    return text(f"queries/{name}")


@cache
def query_texts(prefix: str) -> str:
    """The concatenated texts of all queries whose names begin with ``prefix``."""
    found = files("pokeladder.sql").joinpath("queries").iterdir()
    return "\n".join(file.read_text(encoding="utf-8") for file in found if file.name.startswith(prefix))
