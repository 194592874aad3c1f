"""Folders for what a process needs for a while, which the next process clears away if this one is killed."""

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
# Is in each of these folders once its owner holds its lock.
MARK = ".pokeladder"


_open: WeakSet[Scratch] = WeakSet()


class Scratch:
    """A new folder in the system's temporary folder that only this user can open; a context manager that gives it.

    It is locked while this process lives. Making one removes those of this user's processes that were killed.
    """

    def __init__(self) -> None:
        clear_leftovers()
        self._closing = threading.Lock()
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = os.open(self.folder, os.O_RDONLY)
        _open.add(self)
        # Whoever has it now looks for the mark, and lets go.
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        (self.folder / MARK).touch()

    def __enter__(self) -> Path:
        return self.folder

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Removes the folder with all that is in it; several threads may, when Ctrl-C ends a command."""
        if self._lock < 0:
            return
        # Outside of the lock: what another thread is removing, this one helps to remove.
        shutil.rmtree(self.folder, ignore_errors=True)
        with self._closing:
            lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)


def close_all() -> None:
    """Removes all folders of this process, which is going to end without the code that would do so."""
    for scratch in list(_open):
        scratch.close()


def clear_leftovers() -> None:
    """Removes folders of this user whose processes are gone."""
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
