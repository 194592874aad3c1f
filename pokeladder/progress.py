"""Progress of reading or writing many files."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class FileProgress:
    """Progress of reading or writing files.

    Attributes:
        done: number of files so far, of ``files``; rows, where many go into one file.
        seconds: seconds since the start.
    """

    done: int
    files: int
    seconds: float


FileWatch = Callable[[FileProgress], None]


class FileCounter:
    """Counts files, in any thread, and reports the progress to ``watch``."""

    def __init__(self, files: int, watch: FileWatch) -> None:
        self.files = files
        self.done = 0
        self._watch = watch
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def add(self, files: int = 1) -> None:
        """Counts files; :meth:`tell` reports them."""
        with self._lock:
            self.done += files

    def tell(self) -> None:
        self._watch(FileProgress(self.done, self.files, time.monotonic() - self._started))
