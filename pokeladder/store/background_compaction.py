"""Compaction in a thread while a run is played."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from pokeladder.errors import StoreError
from pokeladder.store.compaction import compact, merge_earlier
from pokeladder.store.files import Store
from pokeladder.store.merging import StoppedError

# Smallest number of files that is merged, and the seconds between two looks at it.
FILES = 64
LOOK_SECONDS = 60.0
# A run that ends with this many files has lasted a minute or more: waiting for new files to settle is acceptable.
FILES_AT_THE_END = 32


class BackgroundCompactor:
    """Merges small files of a run and of earlier runs in a thread of the process that holds the run's lock.

    Args:
        notify: called with a warning if files cannot be merged, which only slows queries down.
    """

    def __init__(self, store: Store, run_id: str, notify: Callable[[str], None]) -> None:
        self._store = store
        self._run_id = run_id
        self._notify = notify
        self._thread = ThreadPoolExecutor(1)
        self._merging: Future[Any] | None = None
        self._stopped = threading.Event()
        self._next_look = time.monotonic() + LOOK_SECONDS
        self._over = threading.Event()

    def begin(self) -> None:
        """Starts merging the files of earlier runs."""
        self._merging = self._thread.submit(merge_earlier, self._store, self._run_id, self._over)

    def compact_if_due(self) -> None:
        """Starts merging the run's files, if there are enough."""
        if time.monotonic() < self._next_look or (self._merging is not None and not self._merging.done()):
            return
        self._settle()
        self._next_look = time.monotonic() + LOOK_SECONDS
        self._merge(FILES)

    def finish(self) -> None:
        """Starts merging all files of the run, at its end; call :meth:`close` afterwards."""
        self._over.set()
        if self._merging is not None:
            wait([self._merging])
        self._settle()
        self._merge(FILES_AT_THE_END)

    def stop(self) -> None:
        """Ends a running merge early; a later one continues."""
        self._stopped.set()
        self._over.set()

    def close(self) -> None:
        """Waits for the end of a running merge."""
        self._over.set()
        self._thread.shutdown()
        self._settle()

    def _merge(self, at_least: int) -> None:
        if len(self._store.files_of("battles", self._run_id)) >= at_least:
            self._merging = self._thread.submit(
                compact, self._store, self._run_id, at_least=at_least, stopped=self._stopped
            )

    def _settle(self) -> None:
        merging, self._merging = self._merging, None
        if merging is None:
            return
        try:
            merging.result()
        except StoppedError:
            return
        except StoreError as error:
            self._warn(error)

    def _warn(self, error: StoreError) -> None:
        self._notify(f"warning: small files could not be merged: {error}")
