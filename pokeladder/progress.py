"""How far reading or writing many files is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class FileProgress:
    """How far reading or writing files is.

    Attributes:
        done: files so far, of ``files``; rows, where one file gets many.
        seconds: since the first.
    """

    done: int
    files: int
    seconds: float


FileWatch = Callable[[FileProgress], None]


class FileCounter:
    """Counts files, in any thread, and tells ``watch``."""

    def __init__(self, files: int, watch: FileWatch) -> None:
        self.files = files
        self.done = 0
        self._watch = watch
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def add(self, files: int = 1) -> None:
        """Counts files; :meth:`tell` tells of them."""
        with self._lock:
            self.done += files

    def tell(self) -> None:
        self._watch(FileProgress(self.done, self.files, time.monotonic() - self._started))
