"""What is kept of trajectories besides their documents, so that most questions need not read these."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import numpy as np
import pyarrow as pa

from pokeladder.statements import statement, text


def binary_array(values: Sequence[bytes]) -> pa.Array:
    """As pa.array, but without making room by and by, which takes several times as long for large values."""
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum([len(value) for value in values], out=offsets[1:])
    return pa.Array.from_buffers(
        pa.binary(), len(values), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(values))]
    )


_PARSE = "CREATE OR REPLACE TEMP TABLE parsed AS SELECT trajectory_id, {} AS trajectory FROM documents"


class Summariser:
    """Summarises documents with ``sql/queries/trajectory_summaries.sql``; each thread needs its own."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(config={"threads": 1})
        for macro in ("parse_trajectory", "hundredths"):
            self._connection.execute(text(f"macros/{macro}"))
        self._empty = True

    def read(self, trajectory_ids: Sequence[str], documents: pa.Array) -> None:
        """Takes in documents for :meth:`summaries`.

        Args:
            documents: JSON as binary, all of it UTF-8.
        """
        columns = {"trajectory_id": pa.array(trajectory_ids, pa.string()), "document": documents.cast(pa.string())}
        self._connection.register("documents", pa.table(columns))
        try:
            self._connection.execute(_PARSE.format("parse_trajectory(document)"))
        except duckdb.InvalidInputException:
            # Only then, since looking out for documents that are no JSON takes a third longer.
            self._connection.execute(_PARSE.format("try(parse_trajectory(document))"))
        finally:
            self._connection.unregister("documents")
        into = "CREATE OR REPLACE TEMP TABLE outlines AS" if self._empty else "INSERT INTO outlines"
        self._connection.execute(f"{into} {statement('trajectory_outlines')}")
        self._empty = False

    def summaries(self, query: str, facts: pa.Table) -> pa.Table:
        """The rows of ``query`` over ``summaries``, one of each document taken in so far, and ``facts``; forgets them.

        Args:
            facts: what the documents do not tell, a row each, with their ``trajectory_id``.
        """
        if self._empty:
            self.read([], binary_array([]))
        self._empty = True
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE summaries AS {statement('trajectory_summaries')}")
        self._connection.register("facts", facts)
        try:
            return self._connection.sql(statement(query)).to_arrow_table()
        finally:
            self._connection.unregister("facts")
