"""Keeping the files of a run few, while it is played and at its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from pokeladder.compaction import StoppedError, compact, finish, go_on
from pokeladder.errors import StoreError
from pokeladder.store import Store

# So many small files are merged, looked for so often.
FILES = 64
LOOK_SECONDS = 60.0


class Tidier:
    """Merges a run's small files in a thread; for the process that holds the run's lock.

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

    def tidy_if_due(self) -> None:
        """Begins to merge, if there is enough to merge."""
        if time.monotonic() < self._next_look or (self._merging is not None and not self._merging.done()):
            return
        self._settle()
        self._next_look = time.monotonic() + LOOK_SECONDS
        if len(self._store.files_of("battles", self._run_id)) >= FILES:
            self._merging = self._thread.submit(
                compact, self._store, self._run_id, at_least=FILES, stopped=self._stopped
            )

    def stop(self) -> None:
        """Has what is being merged end soon; a later merge goes on from there."""
        self._stopped.set()

    def finish(self) -> None:
        """Merges what the run leaves, and goes on with what earlier runs have merged; after :meth:`close`."""
        try:
            finish(self._store, self._run_id)
            go_on(self._store, besides=self._run_id)
        except StoreError as error:
            self._warn(error)

    def close(self) -> None:
        """Waits for what is being merged."""
        self._thread.shutdown()
        self._settle()

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
        self._notify(f"warning: the run's files could not be merged: {error}")
