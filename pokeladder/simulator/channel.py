"""A process that exchanges JSON lines over a socket: a server, or a spectator of one."""

from __future__ import annotations

import select
import socket
import subprocess
import time
from typing import Any, Self

from pokeladder.simulator.json_lines import READ_BYTES, Decoder, encoded
from pokeladder.system.processes import ended

# Seconds of silence after which the process counts as dead; it sends a line every second.
SILENT_SECONDS = 30.0
# Seconds for the process to end by itself.
END_SECONDS = 5.0


class Channel:
    """A process that ends when its socket is closed; a context manager, which ends it.

    Args:
        process: the process, just started.
        end: this process's end of the socket.
        start_seconds: seconds for its first message, which says whether it is ready.

    Raises:
        SimulatorError: the process is not ready.
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
                # It cannot read the closing of the socket yet.
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
        """Kills the process."""
        self._process.kill()

    def stop(self) -> int:
        """Ends the process and waits for it; its exit status."""
        self._socket.close()
        return ended(self._process, END_SECONDS)

    def fileno(self) -> int:
        """The file descriptor, readable when there is something to :meth:`receive`."""
        return self._socket.fileno()

    def silent(self) -> bool:
        """Whether the process has been silent for too long."""
        return not self.waiting(0) and time.monotonic() - self._heard > SILENT_SECONDS

    def waiting(self, seconds: float) -> bool:
        """Whether there is something to :meth:`receive` now or within ``seconds``."""
        readable, _, _ = select.select([self._socket], [], [], max(0.0, seconds))
        return bool(readable)

    def send(self, *message: Any) -> None:
        """Sends a message; it is dropped if the process has ended."""
        try:
            self._socket.sendall(encoded([message]))
        except OSError:
            return

    def receive(self) -> list[list[Any]]:
        """The messages since the last call; may be empty if a message is incomplete.

        Raises:
            EOFError: the process has ended.
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
        """Handles the first message: ``ready`` or a reason; ``silent`` or ``gone`` without a message.

        Raises:
            SimulatorError: the process is not ready.
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
