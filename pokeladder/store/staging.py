"""Parquet files that are written to the store in parts, and published when complete."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq

from pokeladder.store.files import Store, sync
from pokeladder.store.schemas import COMPRESSION, DOCUMENT_SCHEMA, SCHEMAS


class StagedFile:
    """A Parquet file that readers see once it is published.

    Args:
        kind: one of :data:`~pokeladder.store.rows.FOLDERS`.
        name: name of the file, without its suffix.

    Attributes:
        path: path of the published file.
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
        self._parquet = pq.ParquetWriter(self._file, SCHEMAS[kind], **COMPRESSION[kind])

    def write(self, table: pa.Table) -> None:
        """Writes a row group.

        Raises:
            StoreError: it could not be written.
        """
        try:
            self._parquet.write_table(table)
        except OSError as error:
            self.discard()
            raise self._store.cannot_write(self.path, error) from error

    def complete(self) -> None:
        """Closes the file; on return it is on disk (synced), but not published.

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
        """Completes and publishes the file.

        Raises:
            StoreError: it could not be written.
        """
        self.complete()
        self._store.publish(self.path)

    def discard(self) -> None:
        """Removes the unpublished file."""
        # An open writer would print an error when it is destroyed.
        for open_file in (self._parquet, self._file):
            with suppress(OSError, ValueError):
                open_file.close()
        self._staged.unlink(missing_ok=True)


class DocumentFile(StagedFile):
    """A file of documents, whose rows have the name of the file."""

    def __init__(self, store: Store, run_id: str, name: str) -> None:
        super().__init__(store, "documents", run_id, name)

    def append(self, trajectory_ids: Sequence[str], documents: pa.Array) -> None:
        """Writes a row group.

        Raises:
            StoreError: it could not be written.
        """
        names = [self.name] * len(documents)
        columns = [pa.array(trajectory_ids, pa.string()), pa.array(names, pa.string()), documents]
        self.write(pa.table(columns, schema=DOCUMENT_SCHEMA))
