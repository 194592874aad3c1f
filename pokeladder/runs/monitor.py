"""Disk space and memory of a run."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from pokeladder.errors import StoreError
from pokeladder.store.files import Store

# Seconds between measurements, which take milliseconds.
LOOK_SECONDS = 2.0
# Free bytes below which a run stops; a batch of the fastest run needs a fraction of it.
RESERVE_BYTES = 200 << 20


@dataclass(frozen=True)
class Use:
    """Disk space and memory, in bytes.

    Attributes:
        disk: size of the run's files.
        free: free space on the store's disk.
        memory: memory of this process and its children; shared memory counts in each.
    """

    disk: int
    free: int
    memory: int


class Monitor:
    """Measures disk space and memory regularly.

    Attributes:
        use: the last measurement.
    """

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._process = psutil.Process()
        self._warned = False
        self._look()

    def look_if_due(self) -> bool:
        """Measures if it is due; returns whether it was."""
        due = time.monotonic() > self._looked + LOOK_SECONDS
        if due:
            self._look()
        return due

    def require_room(self, expected: int | None, notify: Callable[[str], None]) -> None:
        """Warns if the disk is too small, and stops the run before the disk is full.

        Args:
            expected: expected size of the run's files in bytes; None if unknown.

        Raises:
            StoreError: the disk is nearly full.
        """
        if expected is not None and expected - self.use.disk > self.use.free and not self._warned:
            self._warned = True
            notify(
                f"warning: the run will take about {expected / 1e6:,.0f} MB, of which {self.use.disk / 1e6:,.0f} MB "
                f"are written; only {self.use.free / 1e6:,.0f} MB are free on its disk: make room"
            )
        if self.use.free < RESERVE_BYTES:
            raise StoreError(
                f"only {self.use.free / 1e6:,.0f} MB are free on the disk of {self._store.folder}: the run stopped, "
                "and all finished battles are stored; make room, and continue with --resume"
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
