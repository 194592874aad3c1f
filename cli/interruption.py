"""How Ctrl-C, SIGTERM and SIGHUP end a command: soon, with a line on stderr, whatever the main thread is busy with."""

from __future__ import annotations

import atexit
import os
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from pokeladder.interrupts import ENDING, interrupt_queries

# A terminal that is closed ends a command as SIGTERM does.
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}
# How long the main thread has to come to an end by itself.
SECONDS = 0.5
# Of a run, which stores what has finished.
RUN_SECONDS = 4.5
# Queries are interrupted as often: one may begin after an earlier interrupt.
REPEAT_SECONDS = 0.05
STDERR = 2
IMPORTING = "<frozen importlib._bootstrap>"
SHOW_CURSOR = "\x1b[?25h"


class Interruption:
    """The one that a command may meet with; further ones are heeded no more, since the command is ending.

    The first signal raises KeyboardInterrupt in the main thread. Python does that when native code returns, so a thread
    interrupts DuckDB's queries, and ends the process if the main thread has not ended it in time.

    Attributes:
        signal: the first of the :data:`ENDING` signals; None so far.
        seconds: how long the main thread has.
        line: what is told if that is not enough.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.seconds = SECONDS
        self.line = "Interrupted."
        self._status: int | None = None
        self._lost = False
        self._ending = threading.Lock()

    def heed(self) -> None:
        """Handles the signals from now on; for the main thread.

        Those that are ignored stay so: nohup and shells have background processes ignore them.
        """
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        sys.unraisablehook = self._unraisable
        threading.Thread(target=self._watch, args=(reading,), daemon=True).start()
        # What is registered first runs last: then Python takes its handlers away, and a signal would change the status.
        atexit.register(_ignore)
        for number in ENDING:
            if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._arrived)

    def of_run(self, command: str) -> None:
        """Gives a run the time to store what has finished."""
        self.seconds = RUN_SECONDS
        self.line = f"Interrupted: if the run has begun, play the rest with `pokeladder {command} --resume`"

    def over(self, status: int) -> None:
        """The command has ended; from now on a signal ends the process with this status."""
        self._status = status

    def end(self, line: str) -> NoReturn:
        """Ends the process at once, with the line on stderr and the status that stands for the signal."""
        # No signal raises anything from here on.
        self._lost = False
        self.signal = self.signal or signal.SIGINT
        with self._ending:
            _tell(line)
            with suppress(Exception):
                _close_folders()
            os._exit(STATUS[self.signal])

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        if self._status is not None:
            os._exit(self._status)
        if self.signal is None or self._lost:
            self.signal = self.signal or signal.Signals(number)
            # A native module that is interrupted while it is imported takes the process down.
            self._lost = _imports(frame)
            if not self._lost:
                raise KeyboardInterrupt

    def _unraisable(self, unraisable: sys.UnraisableHookArgs) -> None:
        """An exception in a destructor, say, goes nowhere: KeyboardInterrupt is raised again."""
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            self._lost = True
        else:
            sys.__unraisablehook__(unraisable)

    def _watch(self, reading: int) -> None:
        while (number := os.read(reading, 1)[0]) not in ENDING:
            pass
        began = time.monotonic()
        while time.monotonic() - began < self.seconds:
            interrupt_queries()
            if self._lost:
                with suppress(OSError):
                    signal.pthread_kill(threading.main_thread().ident or 0, number)
            time.sleep(REPEAT_SECONDS)
        self.signal = self.signal or signal.Signals(number)
        # Whatever comes of it: nothing but this thread is left to end the process.
        with suppress(Exception):
            _end_children()
        self.end(self.line)


def _imports(frame: FrameType | None) -> bool:
    """Whether an import is under way in a frame or in what has called it."""
    while frame is not None:
        if frame.f_code.co_filename == IMPORTING:
            return True
        frame = frame.f_back
    return False


def _ignore() -> None:
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def _close_folders() -> None:
    # Not imported before there is one.
    module = sys.modules.get("pokeladder.scratch")
    if module is not None and hasattr(module, "close_all"):
        module.close_all()


def _end_children() -> None:
    """Kills what this process has started, as it is going to end without the code that would end it."""
    import psutil

    with suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()


def _tell(line: str) -> None:
    """Writes a line on stderr, unless nobody takes it."""
    # After the ^C that a terminal shows; a progress bar may have hidden the cursor.
    before = f"{SHOW_CURSOR}\r\n" if os.isatty(STDERR) else ""
    with suppress(OSError):
        if select.select([], [STDERR], [], 0)[1]:
            os.write(STDERR, f"{before}{line}\n".encode(errors="backslashreplace"))


interruption = Interruption()
