"""Sequential Elo as a function that DuckDB calls, so that a million battles take a second.

``sql/macros/elo_fold.sql`` is the same function in plain SQL, for clients that have no Python.
"""

from __future__ import annotations

from itertools import islice, pairwise
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from duckdb.func import PythonUDFType

_GAMES = "STRUCT(p1 BIGINT, p2 BIGINT, score DOUBLE)[]"
_COLUMNS = ("p1_before", "p1_after", "p2_before", "p2_after")
_RATINGS = f"STRUCT({', '.join(f'{column} DOUBLE' for column in _COLUMNS)})[]"


def register(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes :func:`fold` known to SQL as ``elo_fold``; DuckDB answers NULL for NULLs by itself."""
    connection.create_function(
        "elo_fold", fold, [_GAMES, "BIGINT", "DOUBLE", "DOUBLE"], _RATINGS, type=PythonUDFType.ARROW
    )


def fold(games: pa.ChunkedArray, agents: pa.ChunkedArray, k: pa.ChunkedArray, initial: pa.ChunkedArray) -> pa.Array:
    """Ratings before and after each game; each row of the arguments is a ladder of its own.

    Args:
        games: lists of {p1, p2, score} in the order of play; agents are numbered from 1, score is p1's: 1, 0.5 or 0.
        agents: how many there are.
        k, initial: the K factor, and the rating that agents start from.

    Returns:
        lists of {p1_before, p1_after, p2_before, p2_after}, one element a game.
    """
    lists = games.combine_chunks()
    bounds = lists.offsets.to_pylist()
    lengths = [end - begin for begin, end in pairwise(bounds)]
    played = zip(*(column.to_pylist() for column in lists.flatten().flatten()), strict=True)
    p1_before: list[float] = []
    p2_before: list[float] = []
    changes: list[float] = []
    for length, count, factor, start in zip(lengths, *(c.to_pylist() for c in (agents, k, initial)), strict=True):
        ratings = [start] * (count + 1)
        for p1, p2, score in islice(played, length):
            first, second = ratings[p1], ratings[p2]
            try:
                expected = 1 / (1 + 10 ** ((second - first) / 400))
            except OverflowError:
                expected = 0.0
            change = factor * (score - expected)
            ratings[p1], ratings[p2] = first + change, second - change
            p1_before.append(first)
            p2_before.append(second)
            changes.append(change)
    first_before, second_before, gained = (np.array(column, float) for column in (p1_before, p2_before, changes))
    columns = (first_before, first_before + gained, second_before, second_before - gained)
    values = pa.StructArray.from_arrays([_array(column) for column in columns], _COLUMNS)
    offsets = np.array(bounds, np.int32) - bounds[0]
    return pa.ListArray.from_arrays(_array(offsets), values)


def _array(column: np.ndarray[tuple[int], np.dtype[Any]]) -> pa.Array:
    """As pa.array, but without importing pandas, which takes longer than rating 100,000 battles."""
    return pa.Array.from_buffers(pa.from_numpy_dtype(column.dtype), len(column), [None, pa.py_buffer(column)])
