"""The codec of messages between Python and Node: one JSON array a line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

READ_BYTES = 1 << 20


def encoded(messages: Iterable[object]) -> bytes:
    """Messages as lines."""
    return b"".join(orjson.dumps(message) + b"\n" for message in messages)


class Decoder:
    """Decodes messages from chunks of bytes."""

    def __init__(self) -> None:
        # Chunks of an incomplete line, joined once, since a line may have many megabytes.
        self._pending: list[bytes] = []

    def feed(self, chunk: bytes) -> list[Any]:
        """The messages that a chunk completes."""
        begin, *rest = chunk.split(b"\n")
        self._pending.append(begin)
        if not rest:
            return []
        lines = [b"".join(self._pending), *rest]
        self._pending = [lines.pop()]
        return [orjson.loads(line) for line in lines]
