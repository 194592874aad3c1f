"""What is kept of trajectories besides their documents, so that most questions need not read these."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from pokeladder.query import connections
from pokeladder.query.texts import statement, text
from pokeladder.trajectories.outlines import OUTLINES, outlines


def binary_array(values: Sequence[bytes]) -> pa.Array:
    """As pa.array, but without making room by and by, which takes several times as long for large values."""
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum([len(value) for value in values], out=offsets[1:])
    return pa.Array.from_buffers(
        pa.binary(), len(values), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(values))]
    )


class Summariser:
    """Summarises documents with ``sql/queries/trajectory_summaries.sql``; each thread needs its own.

    Attributes:
        states: how many the documents have that were taken in since the last :meth:`summaries`.
    """

    def __init__(self) -> None:
        self._connection = connections.connect(threads=1)
        self._connection.execute(text("macros/hundredths"))
        self._outlines: list[pa.Table] = []
        self.states = 0

    def read(self, trajectory_ids: Sequence[str], documents: Iterable[bytes]) -> list[bool]:
        """Takes in JSON documents for :meth:`summaries`; whether each could be read."""
        table = outlines(trajectory_ids, documents)
        self._outlines.append(table)
        self.states += len(table.column("states").combine_chunks().values)
        return [unreadable is None for unreadable in table.column("unreadable").to_pylist()]

    def summaries(self, query: str, facts: pa.Table) -> pa.Table:
        """The rows of ``query`` over ``summaries``, one of each document taken in so far, and ``facts``; forgets them.

        Args:
            facts: what the documents do not tell, a row each, with their ``trajectory_id``.
        """
        tables = {"outlines": pa.concat_tables(self._outlines or [OUTLINES.empty_table()]), "facts": facts}
        self._outlines, self.states = [], 0
        for name, table in tables.items():
            self._connection.register(name, table)
        try:
            self._connection.execute(f"CREATE OR REPLACE TEMP TABLE summaries AS {statement('trajectory_summaries')}")
            return self._connection.sql(statement(query)).to_arrow_table()
        finally:
            for name in tables:
                self._connection.unregister(name)
