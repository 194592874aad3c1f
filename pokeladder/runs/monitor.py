"""What a run takes of the machine: room on the disk, and memory."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from pokeladder.errors import StoreError
from pokeladder.store.files import Store

# Looking takes milliseconds.
LOOK_SECONDS = 2.0
# A batch of the fastest run takes a fraction of this.
RESERVE_BYTES = 200 << 20


@dataclass(frozen=True)
class Use:
    """What a run takes.

    Attributes:
        disk: bytes of its files so far.
        free: bytes that are left on the disk.
        memory: bytes of this process and all below it; what they share counts once for each.
    """

    disk: int
    free: int
    memory: int


class Monitor:
    """Looks now and then.

    Attributes:
        use: what it saw last.
    """

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._process = psutil.Process()
        self._warned = False
        self._look()

    def look_if_due(self) -> bool:
        """Looks, if it was some time ago; whether it did."""
        due = time.monotonic() > self._looked + LOOK_SECONDS
        if due:
            self._look()
        return due

    def require_room(self, expected: int | None, notify: Callable[[str], None]) -> None:
        """Warns of a disk that will be full, and stops a run while what it has in hand can still be written.

        Args:
            expected: bytes that all files of the run will have.

        Raises:
            StoreError: the disk is nearly full.
        """
        if expected is not None and expected - self.use.disk > self.use.free and not self._warned:
            self._warned = True
            notify(
                f"warning: the whole run will take about {expected / 1e6:,.0f} MB, of which "
                f"{self.use.disk / 1e6:,.0f} MB are written; its disk has {self.use.free / 1e6:,.0f} MB left"
            )
        if self.use.free < RESERVE_BYTES:
            raise StoreError(
                f"only {self.use.free / 1e6:,.0f} MB are left on the disk of {self._store.folder}: stopped before it is"
                " full, and nothing is lost; make room and go on with --resume"
            )

    def _look(self) -> None:
        self._looked = time.monotonic()
        free = shutil.disk_usage(self._store.folder).free
        self.use = Use(self._store.bytes_of(self._run_id), free, self._memory())

    def _memory(self) -> int:
        used = 0
        for process in (self._process, *self._process.children(recursive=True)):
            with suppress(psutil.Error):
                used += process.memory_info().rss
        return used
