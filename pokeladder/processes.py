"""Python processes of this package: starting them, talking to them, ending them, and the end of their logs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

MAIN = "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); from {} import main; sys.exit(main())"
# Sets of strings come out in one order, so that agents which iterate over them repeat themselves.
REPEATABLE = {"PYTHONHASHSEED": "0"}


def default_workers() -> int:
    """One process a core that this one may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def python_command(module: str, *arguments: str) -> list[str]:
    """Runs ``main`` of a module, which finds the same modules as this process, whatever folder it runs in."""
    return [sys.executable, "-P", "-c", MAIN.format(module), json.dumps(sys.path), *arguments]


def start(
    module: str,
    *arguments: str,
    log: Path | None = None,
    inherited: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Starts a process at the other end of a socket.

    Args:
        module: its ``main`` finds in ``sys.argv[1:]`` the file number of its end, those inherited, and ``arguments``.
        log: what it says is appended to this file; None if that goes where this process's goes.
        inherited: further file numbers that it shares.
        environment: variables to add to this process's.

    Returns:
        The process, and this process's end.
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
            # A Ctrl-C in the terminal is for this process, which ends the other one.
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
    """A process of this package that exchanges objects with this one, and ends when the connection closes.

    Args:
        module, arguments, log, inherited, environment: as of :func:`start`.

    Attributes:
        connection: this process's end, to wait on.
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
            EOFError: the process is gone.
        """
        try:
            self.connection.send(message)
        except OSError as error:
            raise EOFError from error

    def receive(self) -> Any:
        """The next object that the process has sent.

        Raises:
            EOFError: the process is gone.
        """
        try:
            return self.connection.recv()
        except OSError as error:
            raise EOFError from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def status(self) -> int:
        """Its exit status, once it has ended."""
        return self._process.wait()

    def kill(self) -> None:
        """Ends it at once; :meth:`end` is still to be called."""
        self._process.kill()

    def end(self) -> int:
        """Ends it, unless it has ended; its exit status."""
        self.connection.close()
        if self._process.poll() is None:
            self._process.kill()
        return self._process.wait()


def ended(process: subprocess.Popen[bytes], seconds: float) -> int:
    """The exit status of a process that has been told to end; it is killed if it takes longer than that."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def last_words(log: Path, lines: int = 1, characters: int = 600, *, after: int = 0) -> str:
    """The end of a process's log, to follow a sentence about the process: ``: ...``, or nothing.

    Args:
        lines, characters: at most so many.
        after: lines at the beginning of the log that are not the process's.
    """
    try:
        said = [line.strip() for line in log.read_text(errors="replace").splitlines()[after:] if line.strip()]
    except OSError:
        return ""
    return f": {' / '.join(said[-lines:])[-characters:]}" if said else ""
