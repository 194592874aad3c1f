"""Files that are written to the store: staged under another name, synced, and then renamed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq

from pokeladder.store.files import Store, sync
from pokeladder.store.schemas import COMPRESSION, DOCUMENT_SCHEMA, FOLDERS


class StagedFile:
    """A Parquet file on its way to the store: readers see it once it is published.

    Args:
        kind: one of the :data:`FOLDERS`.
        name: of the file, without its suffix.

    Attributes:
        path: where it will be.
    """

    def __init__(self, store: Store, kind: str, run_id: str, name: str) -> None:
        self._store = store
        self.name = name
        self.path = store.path(kind, run_id, name)
        self._staged = store.staged(self.path)
        try:
            self._file = self._staged.open("wb")
        except OSError as error:
            raise store.cannot_write(self.path, error) from error
        self._parquet = pq.ParquetWriter(self._file, FOLDERS[kind], **COMPRESSION[kind])

    def write(self, table: pa.Table) -> None:
        """Writes a row group.

        Raises:
            StoreError: the disk is full, say.
        """
        try:
            self._parquet.write_table(table)
        except OSError as error:
            self.discard()
            raise self._store.cannot_write(self.path, error) from error

    def complete(self) -> None:
        """On return the whole file is on disk (synced), under another name.

        Raises:
            StoreError: it could not be written.
        """
        try:
            self._parquet.close()
            sync(self._file)
        except OSError as error:
            self.discard()
            raise self._store.cannot_write(self.path, error) from error

    def publish(self) -> None:
        """On return the file is on disk (synced) under its name.

        Raises:
            StoreError: it could not be written.
        """
        self.complete()
        self._store.publish(self.path)

    def discard(self) -> None:
        """Removes the file that is not published."""
        # Left open, the writer would complain when it is forgotten.
        for open_file in (self._parquet, self._file):
            with suppress(OSError, ValueError):
                open_file.close()
        self._staged.unlink(missing_ok=True)


class DocumentFile(StagedFile):
    """Documents on their way to the store; their rows say which file they are in."""

    def __init__(self, store: Store, run_id: str, name: str) -> None:
        super().__init__(store, "documents", run_id, name)

    def append(self, trajectory_ids: Sequence[str], documents: pa.Array) -> None:
        """Writes a row group.

        Raises:
            StoreError: the disk is full, say.
        """
        names = [self.name] * len(documents)
        columns = [pa.array(trajectory_ids, pa.string()), pa.array(names, pa.string()), documents]
        self.write(pa.table(columns, schema=DOCUMENT_SCHEMA))
