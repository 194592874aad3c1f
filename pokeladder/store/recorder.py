"""Writing battles to the store in batches while they are played."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

import lz4.frame
import pyarrow as pa

from pokeladder.errors import StoreError
from pokeladder.records import SIDES, Game, Recorded, Result, Side
from pokeladder.store.files import Store
from pokeladder.store.rows import Battle, Run, ServerBattle, battle_of
from pokeladder.store.schemas import TRAJECTORY_SCHEMA
from pokeladder.store.writer import BatchWriter
from pokeladder.system.interrupts import deferred
from pokeladder.trajectories.summaries import Summariser, binary_array

# A batch is written after this share of the run's duration, so that a long run makes hundreds of files instead of one a
# second.
SHARE = 0.01
SHORTEST_SECONDS = 2.0
LONGEST_SECONDS = 15.0
# Documents are written when they have this size, small enough for the processor's caches.
DOCUMENT_BYTES = 8 << 20
# Columns of a trajectory that do not follow from its document.
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
    """Stores the results of one run.

    Attributes:
        stored: number of stored battles that are not void.
        void: number of stored void battles.
        unrecorded: number of trajectories of the stored battles that could not be recorded.
    """

    def __init__(self, store: Store, run: Run, games: Sequence[Game], versions: Mapping[str, str]) -> None:
        self._run = run
        self._games = games
        self._versions = versions
        self._writer = BatchWriter(store, run.run_id)
        self._batch: list[Battle] = []
        self._server_battles: list[ServerBattle] = []
        self._trajectories = _Trajectories(self._writer)
        self._started = self._flushed = time.monotonic()
        self.stored = 0
        self.void = 0
        self.unrecorded = 0

    @deferred()
    def add(self, result: Result) -> None:
        battle = battle_of(self._run, self._games[result.index], result, self._writer.batch, self._versions)
        self._batch.append(battle)
        if result.server is not None:
            said = result.server
            self._server_battles.append(
                ServerBattle(battle.battle_id, battle.batch, said.room, said.p1_user, said.p2_user, said.log)
            )
        for side, recorded in zip(SIDES, result.trajectories, strict=True):
            if recorded is not None:
                self._trajectories.add(battle, side, recorded)

    def flush_if_due(self) -> bool:
        """Writes the batch if it is due; returns whether it was."""
        now = time.monotonic()
        patience = min(max(SHORTEST_SECONDS, SHARE * (now - self._started)), LONGEST_SECONDS)
        if not self._batch or now - self._flushed < patience:
            return False
        self.flush()
        return True

    @deferred()
    def flush(self) -> None:
        """Writes all battles added so far; on return they survive a crash of the machine.

        Ctrl-C is delayed until then: a batch that was written in part and then again would lack trajectories.

        Raises:
            StoreError: they could not be written; they are dropped and must be played again.
        """
        try:
            self._writer.write(self._batch, self._trajectories.rows(), self._server_battles)
        except StoreError:
            self._writer.drop_documents()
            self._batch, self._server_battles = [], []
            raise
        void = sum(battle.outcome == "void" for battle in self._batch)
        self.void += void
        self.stored += len(self._batch) - void
        self.unrecorded += sum(battle.unrecorded or 0 for battle in self._batch)
        self._batch, self._server_battles = [], []
        self._flushed = time.monotonic()


class _Trajectories:
    """The trajectories of a batch, whose documents a thread writes while battles are played."""

    def __init__(self, writer: BatchWriter) -> None:
        self._writer = writer
        self._summariser = Summariser()
        self._thread = ThreadPoolExecutor(1)
        self._written: list[Future[pa.Table]] = []
        self._waiting: list[tuple[Battle, Side, Recorded]] = []
        self._size = 0

    def add(self, battle: Battle, side: Side, recorded: Recorded) -> None:
        self._waiting.append((battle, side, recorded))
        self._size += recorded.size
        if self._size >= DOCUMENT_BYTES:
            self._hand_over()

    def rows(self) -> pa.Table | None:
        """Waits until all documents are on disk; the rows of the batch's trajectory file, or None without trajectories.

        Raises:
            StoreError: a document could not be written; all are dropped.
        """
        if self._waiting:
            self._hand_over()
        written, self._written = self._written, []
        # All must have ended before an error is raised, or one might be written to the next batch.
        wait(written)
        facts = [future.result() for future in written]
        return self._summariser.summaries("trajectory_rows", pa.concat_tables(facts)) if facts else None

    def _hand_over(self) -> None:
        self._written.append(self._thread.submit(self._write, self._waiting))
        self._waiting, self._size = [], 0

    def _write(self, trajectories: Sequence[tuple[Battle, Side, Recorded]]) -> pa.Table:
        documents, facts = [], []
        for battle, side, recorded in trajectories:
            document = lz4.frame.decompress(recorded.frame)
            documents.append(document)
            facts.append(_facts(battle, side, recorded, document))
        trajectory_ids = [str(fact["trajectory_id"]) for fact in facts]
        self._writer.add_documents(trajectory_ids, binary_array(documents))
        self._summariser.add(trajectory_ids, [recorded.outline for _, _, recorded in trajectories])
        return pa.Table.from_pylist(facts, FACTS)


def _facts(battle: Battle, side: Side, recorded: Recorded, document: bytes) -> dict[str, object]:
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
        "invalid_steps": None if recorded.invalid_steps is None else list(recorded.invalid_steps),
        "played_at": battle.finished_at,
        "source": recorded.source,
        "name": None,
        "digest": hashlib.sha256(document).hexdigest(),
    }
