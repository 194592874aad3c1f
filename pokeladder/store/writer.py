"""Adding battles of a run to the store in batches, each atomically."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import pyarrow as pa

from pokeladder.errors import StoreError
from pokeladder.store.files import Store
from pokeladder.store.rows import Battle, ServerBattle
from pokeladder.store.schemas import BATTLE_SCHEMA, SERVER_BATTLE_SCHEMA, TRAJECTORY_SCHEMA, table_of
from pokeladder.store.staging import DocumentFile


class BatchWriter:
    """Adds battles of one run with their trajectories in batches, each atomically.

    Attributes:
        batch: name of the present batch and of its files.
    """

    def __init__(self, store: Store, run_id: str) -> None:
        self._store = store
        self._run_id = run_id
        self._name = secrets.token_hex(4)
        self._written = 0
        self._documents: DocumentFile | None = None

    @property
    def batch(self) -> str:
        return f"{self._name}-{self._written:06d}"

    def add_documents(self, trajectory_ids: Sequence[str], documents: pa.Array) -> None:
        """Writes documents of the batch; readers see them once :meth:`write` has returned.

        Raises:
            StoreError: they could not be written.
        """
        if self._documents is None:
            self._documents = DocumentFile(self._store, self._run_id, self.batch)
        try:
            self._documents.append(trajectory_ids, documents)
        except StoreError:
            self._documents = None
            raise

    def write(
        self,
        battles: Sequence[Battle],
        trajectories: pa.Table | None = None,
        server_battles: Sequence[ServerBattle] = (),
    ) -> None:
        """Writes the batch; on return it is on disk (synced) and visible to readers.

        Raises:
            StoreError: a file could not be written; the batch is not in the store.
        """
        if not battles:
            return
        if self._documents is not None:
            self._documents.publish()
            self._documents = None
        if trajectories is not None:
            self._store.write_table(trajectories.cast(TRAJECTORY_SCHEMA), "trajectories", self._run_id, self.batch)
        if server_battles:
            table = table_of(server_battles, SERVER_BATTLE_SCHEMA)
            self._store.write_table(table, "server_battles", self._run_id, self.batch)
        self._store.write_table(table_of(battles, BATTLE_SCHEMA), "battles", self._run_id, self.batch)
        self._written += 1

    def drop_documents(self) -> None:
        """Drops the documents of the present batch."""
        if self._documents is not None:
            self._documents.discard()
            self._documents = None
