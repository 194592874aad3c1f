"""Keeping the files of a store few, while a run is played."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from pokeladder.errors import StoreError
from pokeladder.store.compaction import StoppedError, compact, merge_earlier
from pokeladder.store.files import Store

# So many small files are merged, looked for so often.
FILES = 64
LOOK_SECONDS = 60.0
# A run that ends with so many has lasted a minute or more, and is worth the seconds that new files take to settle.
FILES_AT_THE_END = 32


class BackgroundCompactor:
    """Merges small files of a run, and of the runs before it, in a thread; for the process that holds the run's lock.

    Args:
        notify: told if it cannot be done, which costs nothing but speed of questions.
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
        """Begins to merge what earlier runs have left."""
        self._merging = self._thread.submit(merge_earlier, self._store, self._run_id, self._over)

    def compact_if_due(self) -> None:
        """Begins to merge, if there is enough to merge."""
        if time.monotonic() < self._next_look or (self._merging is not None and not self._merging.done()):
            return
        self._settle()
        self._next_look = time.monotonic() + LOOK_SECONDS
        self._merge(FILES)

    def finish(self) -> None:
        """Begins to merge what the run leaves, which the next run would merge otherwise; before :meth:`close`."""
        self._over.set()
        if self._merging is not None:
            wait([self._merging])
        self._settle()
        self._merge(FILES_AT_THE_END)

    def stop(self) -> None:
        """Has what is being merged end soon; a later merge goes on from there."""
        self._stopped.set()
        self._over.set()

    def close(self) -> None:
        """Waits for what is being merged."""
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
