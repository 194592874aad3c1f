"""Runs a program and ends it, with all that it has started, when the process that wanted it is gone.

``python supervisor.py LIFELINE PROGRAM ARGUMENT...``: the program runs until it ends by itself, and this process then
ends as it did, or until the other end of the inherited pipe LIFELINE closes. Nothing but Python is needed here, so that
it starts at once.
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

# How long a program has to end by itself.
GRACE_SECONDS = 3.0
POLL_SECONDS = 0.05
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def main() -> int:
    lifeline, *command = sys.argv[1:]
    os.set_blocking(int(lifeline), False)
    # Whatever it starts stays below this process, also when what was between them is gone.
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
    # Ends as the program did.
    with suppress(OSError):  # SIGKILL needs none of it
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
    return 128 - status


def _closed(lifeline: int) -> bool:
    try:
        return not os.read(lifeline, 1)
    except BlockingIOError:
        return False


def _end(program: subprocess.Popen[bytes]) -> None:
    """Ends the program and whatever is left of what it started."""
    with suppress(OSError):
        os.killpg(program.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while (program.poll() is None or _children()) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        _reap()
    with suppress(OSError):
        os.killpg(program.pid, signal.SIGKILL)
    # Killing one may hand its children down to this process.
    while children := _children():
        for child in children:
            with suppress(OSError):
                os.kill(child, signal.SIGKILL)
        time.sleep(POLL_SECONDS)
        program.poll()
        _reap()


def _children() -> list[int]:
    """Those that Linux knows of; elsewhere the program's process group is all there is to go by."""
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
