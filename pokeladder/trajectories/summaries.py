"""Summaries of trajectories, which answer most questions without reading documents."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain

import numpy as np
import pyarrow as pa

from pokeladder.query import connections
from pokeladder.query.texts import query_text, text
from pokeladder.records import Outline

STATES = pa.struct(
    [
        ("species", pa.string()),
        ("hp", pa.float64()),
        ("opponent_species", pa.string()),
        ("opponent_hp", pa.float64()),
        ("moves", pa.int32()),
        ("switches", pa.int32()),
        ("forced", pa.bool_()),
        ("can_tera", pa.bool_()),
        ("last_move", pa.string()),
        ("opponent_last_move", pa.string()),
        ("opponents_left", pa.int32()),
        ("has_pp", pa.bool_()),
        ("status", pa.string()),
        ("opponent_status", pa.string()),
    ]
)
OUTLINES = pa.schema(
    [
        ("trajectory_id", pa.string()),
        ("unreadable", pa.string()),
        ("action_count", pa.int32()),
        ("format", pa.string()),
        ("actions", pa.list_(pa.int32())),
        ("states", pa.list_(STATES)),
        ("bench", pa.list_(pa.string())),
        ("bench_hp", pa.list_(pa.float64())),
        ("opponent_pokemon_left", pa.int32()),
        ("won", pa.bool_()),
        ("lost", pa.bool_()),
    ]
)


def binary_array(values: Sequence[bytes]) -> pa.Array:
    """The same as ``pa.array``, which takes several times as long for large values, since it grows its buffer."""
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum([len(value) for value in values], out=offsets[1:])
    return pa.Array.from_buffers(
        pa.binary(), len(values), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(values))]
    )


class Summariser:
    """Summarises trajectories with ``sql/queries/trajectory_summaries.sql``; not for use by several threads.

    Attributes:
        states: number of states in the outlines added since the last :meth:`summaries`.
    """

    def __init__(self) -> None:
        self._connection = connections.connect(threads=1)
        for macro in ("hundredths", "opponent_hp"):
            self._connection.execute(text(f"macros/{macro}"))
        self._outlines: list[pa.Table] = []
        self.states = 0

    def add(self, trajectory_ids: Sequence[str], outlines: Sequence[Outline]) -> None:
        """Adds outlines for :meth:`summaries`."""
        self._outlines.append(_table(trajectory_ids, outlines))
        self.states += sum(len(outline.states) for outline in outlines)

    def summaries(self, query: str, facts: pa.Table) -> pa.Table:
        """The rows of ``query`` over the tables ``summaries``, of the outlines added, and ``facts``; clears the
        outlines.

        Args:
            facts: values that are not in the documents, with the column ``trajectory_id``.
        """
        tables = {"outlines": pa.concat_tables(self._outlines or [OUTLINES.empty_table()]), "facts": facts}
        self._outlines, self.states = [], 0
        for name, table in tables.items():
            self._connection.register(name, table)
        try:
            self._connection.execute(f"CREATE OR REPLACE TEMP TABLE summaries AS {query_text('trajectory_summaries')}")
            return self._connection.sql(query_text(query)).to_arrow_table()
        finally:
            for name in tables:
                self._connection.unregister(name)


def _table(trajectory_ids: Sequence[str], outlines: Sequence[Outline]) -> pa.Table:
    """The outlines as a table with the columns of :data:`OUTLINES`."""
    states = zip(*chain.from_iterable(outline.states for outline in outlines), strict=True)
    flat = list(states) or [()] * STATES.num_fields
    struct = pa.StructArray.from_arrays(
        [pa.array(column, field.type) for column, field in zip(flat, STATES, strict=True)], fields=list(STATES)
    )
    ends = accumulate((len(outline.states) for outline in outlines), initial=0)
    listed = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), struct)
    arrays = [
        pa.array(trajectory_ids, pa.string())
        if field.name == "trajectory_id"
        else listed
        if field.name == "states"
        else pa.array([getattr(outline, field.name) for outline in outlines], field.type)
        for field in OUTLINES
    ]
    return pa.table(arrays, schema=OUTLINES)
