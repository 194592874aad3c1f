"""Names that can stand in tables, pictures and files, and text that cannot give orders to a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LONGEST_NAME = 100
RULE = f"use 1 to {LONGEST_NAME} printable characters"


def is_name(text: str) -> bool:
    """Whether ``text`` can be an agent's name: 1 to 100 printable characters, not only blanks."""
    return bool(text.strip()) and len(text) <= LONGEST_NAME and text.isprintable()


def shown(text: str, keep: str = "") -> str:
    r"""``text`` for people: characters that are not printable stand as escapes such as ``\x1b`` and ``\u2028``.

    Control characters, line separators, marks that change the direction of writing, and bytes of a file name that are
    no UTF-8 are not printable.

    Args:
        keep: characters to leave as they are, line breaks for instance.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode() for char in text
    )


def with_names_shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its agents as :func:`shown` gives them, in one line.

    What is played or taken in has no name that needs it, but a store may be older than that rule.
    """
    return {**row, **{column: shown(row[column]) for column in ("agent", "opponent") if column in row}}
