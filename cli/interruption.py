"""Ctrl-C, SIGTERM and SIGHUP: end a command soon, with a line on stderr, whatever the main thread does."""

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

from pokeladder.system.interrupts import ENDING, interrupt_queries

# SIGHUP, of a closed terminal, has the exit status of SIGTERM.
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}
# Seconds for the main thread to end by itself.
SECONDS = 0.5
# The same for a run, which stores finished battles.
RUN_SECONDS = 4.5
# Seconds between interrupts of queries: one may begin after an earlier interrupt.
REPEAT_SECONDS = 0.05
STDERR = 2
IMPORTING = "<frozen importlib._bootstrap>"
SHOW_CURSOR = "\x1b[?25h"


class Interruption:
    """Handles the first signal; later ones are ignored, since the command is ending.

    The signal raises KeyboardInterrupt in the main thread, once native code returns. A thread interrupts DuckDB's
    queries, and ends the process if the main thread does not end in time.

    Attributes:
        signal: the signal that has arrived; None without one.
        seconds: seconds for the main thread to end.
        line: line that is printed if it does not.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.seconds = SECONDS
        self.line = "Interrupted."
        self._status: int | None = None
        self._lost = False
        self._ending = threading.Lock()

    def heed(self) -> None:
        """Installs the handlers; the main thread must call it.

        Ignored signals stay ignored, as nohup and shells set them for background processes.
        """
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        sys.unraisablehook = self._unraisable
        threading.Thread(target=self._watch, args=(reading,), daemon=True).start()
        # Registered first and therefore run last: afterwards Python removes its handlers, and a signal would change the
        # exit status.
        atexit.register(_ignore)
        for number in ENDING:
            if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._arrived)

    def of_run(self, command: str) -> None:
        """Sets time and line for a run, which must store finished battles."""
        self.seconds = RUN_SECONDS
        self.line = f"Interrupted: if the run has begun, play the rest with `pokeladder {command} --resume`"

    def over(self, status: int) -> None:
        """Sets the exit status of the ended command, with which a signal ends the process."""
        self._status = status

    def end(self, line: str) -> NoReturn:
        """Ends the process at once, with the line on stderr and the exit status of the signal."""
        # From here on signals raise no exception.
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
            # An exception during the import of a native module can crash the process.
            self._lost = _imports(frame)
            if not self._lost:
                raise KeyboardInterrupt

    def _unraisable(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Marks a KeyboardInterrupt that was lost, for example in a destructor, to be raised again."""
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
        # Errors are ignored, since only this thread can end the process.
        with suppress(Exception):
            _end_children()
        self.end(self.line)


def _imports(frame: FrameType | None) -> bool:
    """Whether a frame or one of its callers is importing a module."""
    while frame is not None:
        if frame.f_code.co_filename == IMPORTING:
            return True
        frame = frame.f_back
    return False


def _ignore() -> None:
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def _close_folders() -> None:
    # Without the module there is no folder.
    module = sys.modules.get("pokeladder.system.scratch")
    if module is not None and hasattr(module, "close_all"):
        module.close_all()


def _end_children() -> None:
    """Kills all child processes, since their owners' code will not run."""
    import psutil

    with suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()


def _tell(line: str) -> None:
    """Writes a line on stderr, unless that would block."""
    # On a line of its own after the terminal's ^C; a progress bar may have hidden the cursor.
    before = f"{SHOW_CURSOR}\r\n" if os.isatty(STDERR) else ""
    with suppress(OSError):
        if select.select([], [STDERR], [], 0)[1]:
            os.write(STDERR, f"{before}{line}\n".encode(errors="backslashreplace"))


interruption = Interruption()
