"""A process that tells what happens on a server: JSON arrays, one a line, over a socket."""

from __future__ import annotations

import select
import socket
import subprocess
import time
from typing import Any, Self

from pokeladder.processes import ended
from pokeladder.simulator.json_lines import READ_BYTES, Decoder, encoded

# It says something once a second.
SILENT_SECONDS = 30.0
# How long it has to end by itself.
END_SECONDS = 5.0


class Channel:
    """The process, which ends when the socket does; a context manager that does not leave it behind.

    Args:
        process: it has just been started.
        end: this process's end of the socket.
        start_seconds: how long it may take to say whether it can do what it is there for.

    Raises:
        SimulatorError: it cannot.
    """

    def __init__(self, process: subprocess.Popen[bytes], end: socket.socket, start_seconds: float) -> None:
        self._process = process
        self._socket = end
        self._decoder = Decoder()
        self._heard = time.monotonic()
        try:
            self._started(*self._first_words(start_seconds))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                # It does not listen yet, and the user waits.
                self.kill()
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """Ends it at once, as one that no longer listens must be."""
        self._process.kill()

    def stop(self) -> int:
        """Ends it, unless it has ended, and waits for that; its exit status."""
        self._socket.close()
        return ended(self._process, END_SECONDS)

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
            self._socket.sendall(encoded([message]))
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
        return self._decoder.feed(chunk)

    def _started(self, kind: str, *rest: Any) -> None:
        """Takes in the first thing it says: ``ready``, or why not; ``silent`` or ``gone`` if it says nothing.

        Raises:
            SimulatorError: it is not ready.
        """
        raise NotImplementedError

    def _first_words(self, seconds: float) -> list[Any]:
        deadline = time.monotonic() + seconds
        while self.waiting(deadline - time.monotonic()):
            try:
                messages = self.receive()
            except EOFError:
                return ["gone"]
            for message in messages:
                if message[0] in ("ready", "failed"):
                    return message
        return ["silent"]
