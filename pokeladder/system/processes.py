"""Child processes that run modules of this package: start, exchange of objects, end, and the end of their logs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

MAIN = "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); from {} import main; sys.exit(main())"
# Sets of strings have one order in every process, so that agents which iterate over them play the same again.
REPEATABLE = {"PYTHONHASHSEED": "0"}


def default_workers() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def python_command(module: str, *arguments: str) -> list[str]:
    """A command that runs ``main`` of a module with the module search path of this process."""
    return [sys.executable, "-P", "-c", MAIN.format(module), json.dumps(sys.path), *arguments]


def start(
    module: str,
    *arguments: str,
    log: Path | None = None,
    inherited: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Starts a process that is connected by a pair of sockets.

    Args:
        module: its ``main`` gets in ``sys.argv[1:]`` the file descriptor of its socket, the inherited ones, and
            ``arguments``.
        log: file to which its standard output and error are appended; None inherits those of this process.
        inherited: further file descriptors to pass on.
        environment: variables to add to those of this process.

    Returns:
        The process, and this process's socket.
    """
    ours, theirs = socket.socketpair()
    shared = (theirs.fileno(), *inherited)
    output = log.open("ab") if log is not None else None
    try:
        process = subprocess.Popen(
            python_command(module, *map(str, shared), *arguments),
            pass_fds=shared,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment} if environment else None,
            # Ctrl-C in a terminal must reach this process only, which ends the other one.
            start_new_session=True,
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
        if output is not None:
            output.close()
    return process, ours


class Child:
    """A child process that exchanges objects with this one, and ends when the connection is closed.

    Args:
        module, arguments, log, inherited, environment: see :func:`start`.

    Attributes:
        connection: this process's end of the connection, to wait on.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        log: Path | None = None,
        inherited: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._process, end = start(module, *arguments, log=log, inherited=inherited, environment=environment)
        self.connection = Connection(end.detach())

    def send(self, message: object) -> None:
        """Sends an object.

        Raises:
            EOFError: the process has ended.
        """
        try:
            self.connection.send(message)
        except OSError as error:
            raise EOFError from error

    def receive(self) -> Any:
        """The next object that the process has sent.

        Raises:
            EOFError: the process has ended.
        """
        try:
            return self.connection.recv()
        except OSError as error:
            raise EOFError from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def status(self) -> int:
        """Waits for the end of the process; its exit status."""
        return self._process.wait()

    def kill(self) -> None:
        """Kills the process; :meth:`end` must still be called."""
        self._process.kill()

    def end(self) -> int:
        """Closes the connection and kills the process if it is running; its exit status."""
        self.connection.close()
        if self._process.poll() is None:
            self._process.kill()
        return self._process.wait()


class Parent:
    """The process that has started this one as a :class:`Child`.

    If the connection is closed before all in it was read, it ends with an error of the operating system instead of an
    end of file, which means the same.
    """

    def __init__(self) -> None:
        self._connection = Connection(int(sys.argv[1]))

    def messages(self) -> Iterator[Any]:
        """The objects that it sends, until it ends or closes the connection."""
        with suppress(EOFError, OSError):
            while True:
                yield self._connection.recv()

    def send(self, message: object) -> None:
        """Sends an object, unless the other process has ended."""
        with suppress(OSError):
            self._connection.send(message)


def ended(process: subprocess.Popen[bytes], seconds: float) -> int:
    """The exit status of a process that is ending; after ``seconds`` it is killed."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def last_words(log: Path, lines: int = 1, characters: int = 600, *, after: int = 0) -> str:
    """The end of a process's log, to be appended to a sentence: ``: ...``, or an empty text.

    Args:
        lines, characters: largest number of either.
        after: number of lines at the beginning of the log to skip.
    """
    try:
        written = [line.strip() for line in log.read_text(errors="replace").splitlines()[after:] if line.strip()]
    except OSError:
        return ""
    return f": {' / '.join(written[-lines:])[-characters:]}" if written else ""
