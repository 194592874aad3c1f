"""Runs a program, and ends it with all of its children when the parent process ends.

``python supervisor.py LIFELINE PROGRAM ARGUMENT...``: the program runs until it ends, and this process ends with the
same status; or until the other end of the inherited pipe LIFELINE is closed. Only the standard library is imported, so
that it starts fast.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

# Seconds for a program to end by itself.
GRACE_SECONDS = 3.0
POLL_SECONDS = 0.05
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def main() -> int:
    lifeline, *command = sys.argv[1:]
    os.set_blocking(int(lifeline), False)
    # Grandchildren become children of this process when their parent ends.
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        program = subprocess.Popen(command, start_new_session=True, preexec_fn=_die_with_supervisor)
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error.strerror}\n")
        return 127
    while program.poll() is None and not _closed(int(lifeline)):
        time.sleep(POLL_SECONDS)
    status = program.poll()
    _end(program)
    if status is None or status >= 0:
        return status or 0
    # This process ends with the program's signal.
    with suppress(OSError):  # SIGKILL has no handler
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
    return 128 - status


def _closed(lifeline: int) -> bool:
    try:
        return not os.read(lifeline, 1)
    except BlockingIOError:
        return False


def _end(program: subprocess.Popen[bytes]) -> None:
    """Ends the program and all of its remaining children."""
    with suppress(OSError):
        os.killpg(program.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while (program.poll() is None or _children()) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        _reap()
    with suppress(OSError):
        os.killpg(program.pid, signal.SIGKILL)
    # A killed process may leave children to this one.
    while children := _children():
        for child in children:
            with suppress(OSError):
                os.kill(child, signal.SIGKILL)
        time.sleep(POLL_SECONDS)
        program.poll()
        _reap()


def _children() -> list[int]:
    """The children of this process on Linux; on other systems the program's process group is used instead."""
    try:
        return [int(child) for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except OSError:
        return []


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _die_with_supervisor() -> None:
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())
