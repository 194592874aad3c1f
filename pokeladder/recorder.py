"""Writing battles to the store in batches while they are played."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import lz4.frame
import pyarrow as pa

from pokeladder.errors import StoreError
from pokeladder.records import SIDES, Battle, Game, Recorded, Result, Run, battle_of
from pokeladder.store import TRAJECTORY_SCHEMA, Store
from pokeladder.summaries import Summariser, binary_array

# A batch waits for this share of the time that the run has lasted, so that a long run leaves hundreds of files
# and not one for every second.
SHARE = 0.01
SHORTEST_SECONDS = 1.0
LONGEST_SECONDS = 15.0
# Documents are put aside on disk when there are so many bytes of them.
DOCUMENT_BYTES = 16 << 20
# What is known of a trajectory besides its document.
FACTS = pa.schema(
    [
        TRAJECTORY_SCHEMA.field(name)
        for name in (
            "trajectory_id",
            "battle_id",
            "batch",
            "document_file",
            "run_id",
            "side",
            "agent",
            "opponent",
            "result",
            "rating",
            "invalid_steps",
            "played_at",
            "source",
            "name",
            "digest",
        )
    ]
)


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
        self._summariser = Summariser()
        self._batch: list[Battle] = []
        self._documents: list[tuple[Battle, int, Recorded]] = []
        self._size = 0
        self._facts: list[pa.Table] = []
        self._started = self._flushed = time.monotonic()
        self.stored = 0
        self.void = 0

    def add(self, result: Result) -> None:
        battle = battle_of(self._run, self._games[result.index], result, self._writer.batch)
        self._batch.append(battle)
        for number, recorded in enumerate(result.trajectories):
            if recorded is not None:
                self._documents.append((battle, number, recorded))
                self._size += recorded.size
        if self._size >= DOCUMENT_BYTES:
            self._put_aside()

    def flush_if_due(self) -> bool:
        """Writes the batch if it has waited long enough; whether it did."""
        now = time.monotonic()
        patience = min(max(SHORTEST_SECONDS, SHARE * (now - self._started)), LONGEST_SECONDS)
        if not self._batch or now - self._flushed < patience:
            return False
        self.flush()
        return True

    def flush(self) -> None:
        """Writes all battles added so far; on return they survive a crash of the machine.

        Raises:
            StoreError: they could not be written, and are forgotten: they are to be played again.
        """
        self._put_aside()
        trajectories = None
        if self._facts:
            trajectories = self._summariser.summaries("trajectory_rows", pa.concat_tables(self._facts))
        with self._forgetting():
            self._writer.write(self._batch, trajectories)
        void = sum(battle.outcome == "void" for battle in self._batch)
        self.void += void
        self.stored += len(self._batch) - void
        self._batch = []
        self._facts = []
        self._flushed = time.monotonic()

    @contextmanager
    def _forgetting(self) -> Iterator[None]:
        """Forgets the batch if it cannot be written: part of it would be worse than none."""
        try:
            yield
        except StoreError:
            self._writer.close()
            self._batch, self._documents, self._facts, self._size = [], [], [], 0
            raise

    def _put_aside(self) -> None:
        """Writes the documents so far, and keeps in memory what their trajectories' rows will say."""
        if not self._documents:
            return
        documents = [lz4.frame.decompress(recorded.frame) for _, _, recorded in self._documents]
        facts = pa.Table.from_pylist(
            [
                _facts(battle, number, recorded, document)
                for (battle, number, recorded), document in zip(self._documents, documents, strict=True)
            ],
            FACTS,
        )
        trajectory_ids = facts.column("trajectory_id").to_pylist()
        with self._forgetting():
            self._writer.add_documents(trajectory_ids, binary_array(documents))
        outlines = [lz4.frame.decompress(recorded.outline) for _, _, recorded in self._documents]
        self._summariser.read(trajectory_ids, binary_array(outlines))
        self._facts.append(facts)
        self._documents = []
        self._size = 0


def _facts(battle: Battle, number: int, recorded: Recorded, document: bytes) -> dict[str, object]:
    side = SIDES[number]
    result = "TIE" if battle.winner is None else "WIN" if battle.winner == side else "LOSS"
    return {
        "trajectory_id": f"{battle.battle_id}-{side}",
        "battle_id": battle.battle_id,
        "batch": battle.batch,
        "document_file": battle.batch,
        "run_id": battle.run_id,
        "side": side,
        "agent": battle.p1 if side == "p1" else battle.p2,
        "opponent": battle.p2 if side == "p1" else battle.p1,
        "result": result,
        "rating": None,
        "invalid_steps": list(recorded.invalid_steps),
        "played_at": battle.finished_at,
        "source": "recorded",
        "name": None,
        "digest": hashlib.sha256(document).hexdigest(),
    }
