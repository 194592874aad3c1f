"""JSON arrays, one a line: how processes of Node and this package's talk to each other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

READ_BYTES = 1 << 20


def encoded(messages: Iterable[object]) -> bytes:
    """The lines of some messages."""
    return b"".join(orjson.dumps(message) + b"\n" for message in messages)


class Decoder:
    """Makes messages of the chunks in which their lines arrive."""

    def __init__(self) -> None:
        # Chunks of a line that is not complete, joined once: a line may have many megabytes.
        self._pending: list[bytes] = []

    def feed(self, chunk: bytes) -> list[Any]:
        """The messages that a chunk completes; there may be none."""
        begin, *rest = chunk.split(b"\n")
        self._pending.append(begin)
        if not rest:
            return []
        lines = [b"".join(self._pending), *rest]
        self._pending = [lines.pop()]
        return [orjson.loads(line) for line in lines]
