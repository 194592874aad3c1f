"""Temporary folders of a process; if it is killed, the next process removes them."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from weakref import WeakSet

PREFIX = "pokeladder-"
# A file in each of these folders, made once its owner holds the lock.
MARK = ".pokeladder"


_open: WeakSet[Scratch] = WeakSet()


class Scratch:
    """A new private folder in the system's temporary folder, as a context manager that returns its path.

    The folder is locked while this process lives. Making one removes the folders of this user's killed processes.
    """

    def __init__(self) -> None:
        clear_leftovers()
        self._closing = threading.Lock()
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = os.open(self.folder, os.O_RDONLY)
        _open.add(self)
        # Another process may hold the lock while it looks for the mark.
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        (self.folder / MARK).touch(0o600)

    def __enter__(self) -> Path:
        return self.folder

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Removes the folder and its content. Two threads may call this at once, when Ctrl-C ends a command."""
        if self._lock < 0:
            return
        # Not under the lock: both threads must return only once the folder is gone.
        shutil.rmtree(self.folder, ignore_errors=True)
        with self._closing:
            lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)


def close_all() -> None:
    """Removes all folders of this process, before it ends without running its destructors."""
    for scratch in list(_open):
        scratch.close()


def clear_leftovers() -> None:
    """Removes the folders of this user's processes that have ended."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            _clear(folder)


def _clear(folder: Path) -> None:
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(lock).st_uid == os.getuid() and (folder / MARK).is_file():
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
