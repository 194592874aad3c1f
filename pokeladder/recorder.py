"""Writing battles to the store in batches while they are played."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pokeladder.records import Battle, Game, Result, Run, battle_of
from pokeladder.store import Store

# A batch waits for this share of the time that the run has lasted, so that a long run leaves hundreds of files
# and not one for every second.
SHARE = 0.01
SHORTEST_SECONDS = 1.0
LONGEST_SECONDS = 15.0


class Recorder:
    """Turns results of one run into stored battles.

    Attributes:
        stored: battles that count, on disk.
        void: void battles, on disk.
    """

    def __init__(self, store: Store, run: Run, games: Sequence[Game]) -> None:
        self._run = run
        self._games = games
        self._writer = store.writer(run.run_id)
        self._batch: list[Battle] = []
        self._started = self._flushed = time.monotonic()
        self.stored = 0
        self.void = 0

    def add(self, result: Result) -> None:
        self._batch.append(battle_of(self._run, self._games[result.index], result))

    def flush_if_due(self) -> bool:
        """Writes the batch if it has waited long enough; whether it did."""
        now = time.monotonic()
        patience = min(max(SHORTEST_SECONDS, SHARE * (now - self._started)), LONGEST_SECONDS)
        if not self._batch or now - self._flushed < patience:
            return False
        self.flush()
        return True

    def flush(self) -> None:
        """Writes all battles added so far; on return they survive a crash of the machine."""
        self._writer.write(self._batch)
        void = sum(battle.outcome == "void" for battle in self._batch)
        self.void += void
        self.stored += len(self._batch) - void
        self._batch = []
        self._flushed = time.monotonic()
