"""JSON arrays, one a line, over a socket to a process that tells when something happens."""

from __future__ import annotations

import select
import socket
import time
from typing import Any

import orjson

# It says something once a second.
SILENT_SECONDS = 30.0
READ_BYTES = 1 << 20


class Channel:
    """This process's end.

    Args:
        end: the socket; closed by :meth:`close`.
    """

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._pending = b""
        self._heard = time.monotonic()

    def close(self) -> None:
        self._socket.close()

    def fileno(self) -> int:
        """Readable when there is something to :meth:`receive`."""
        return self._socket.fileno()

    def silent(self) -> bool:
        """Whether the other end has said nothing for so long that it will not come back."""
        return not self.waiting(0) and time.monotonic() - self._heard > SILENT_SECONDS

    def waiting(self, seconds: float) -> bool:
        """Whether there is something to :meth:`receive`, or comes within this time."""
        readable, _, _ = select.select([self._socket], [], [], max(0.0, seconds))
        return bool(readable)

    def send(self, *message: Any) -> None:
        """Sends a message; one that the other end can no longer take is lost with it."""
        try:
            self._socket.sendall(orjson.dumps(message) + b"\n")
        except OSError:
            return

    def receive(self) -> list[list[Any]]:
        """What has been said since last time; may be nothing but the beginning of a message yet.

        Raises:
            EOFError: the other end is gone.
        """
        try:
            chunk = self._socket.recv(READ_BYTES)
        except OSError:
            chunk = b""
        if not chunk:
            raise EOFError
        self._heard = time.monotonic()
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        return [orjson.loads(line) for line in lines]
