"""Valid names of agents, and text without characters that control a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LONGEST_NAME = 100
RULE = f"use 1 to {LONGEST_NAME} printable characters"


def is_name(text: str) -> bool:
    """Whether ``text`` is a valid name of an agent: 1 to 100 printable characters, not only blanks."""
    return bool(text.strip()) and len(text) <= LONGEST_NAME and text.isprintable()


def shown(text: str, keep: str = "") -> str:
    r"""``text`` with escapes such as ``\x1b`` and ``\u2028`` in place of characters that are not printable.

    Not printable are control characters, line separators, marks of writing direction, and bytes of file names that are
    not UTF-8.

    Args:
        keep: characters that are not escaped, line breaks for example.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode() for char in text
    )


def with_names_shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose columns ``agent`` and ``opponent`` have gone through :func:`shown`.

    New names are printable; a store may have older ones.
    """
    return {**row, **{column: shown(row[column]) for column in ("agent", "opponent") if column in row}}
