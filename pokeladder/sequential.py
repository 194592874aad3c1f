"""Ratings that depend on the order of battles, as functions that DuckDB calls: a million battles take a second.

The macros ``elo_fold`` and ``glicko_fold`` are the same functions in plain SQL, for clients that have no Python.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise
from math import log, pi, sqrt
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from duckdb.func import PythonUDFType

# p1 and p2, numbers of agents from 1, and p1's score.
Game = tuple[int, int, float]

_GAMES = "STRUCT(p1 BIGINT, p2 BIGINT, score DOUBLE)[]"
_ELO_COLUMNS = ("p1_before", "p1_after", "p2_before", "p2_after")
_GLICKO_COLUMNS = ("rating", "deviation")
GLICKO_INITIAL = 1500.0
LARGEST_DEVIATION = 130.0
SMALLEST_DEVIATION = 25.0
Q = log(10) / 400


def register(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes both known to SQL, as ``elo_fold`` and ``glicko_fold``; DuckDB answers NULL for NULLs by itself."""
    connection.create_function(
        "elo_fold",
        elo_fold,
        [_GAMES, "BIGINT", "DOUBLE", "DOUBLE"],
        _structs(_ELO_COLUMNS),
        type=PythonUDFType.ARROW,
    )
    connection.create_function(
        "glicko_fold", glicko_fold, [_GAMES, "BIGINT"], _structs(_GLICKO_COLUMNS), type=PythonUDFType.ARROW
    )


def elo_fold(games: pa.ChunkedArray, agents: pa.ChunkedArray, k: pa.ChunkedArray, initial: pa.ChunkedArray) -> pa.Array:
    """Elo ratings before and after each game; each row of the arguments is a ladder of its own.

    Args:
        games: lists of {p1, p2, score} in the order of play; agents are numbered from 1, score is p1's: 1, 0.5 or 0.
        agents: how many there are.
        k, initial: the K factor, and the rating that agents start from.

    Returns:
        lists of {p1_before, p1_after, p2_before, p2_after}, one element a game.
    """
    p1_before: list[float] = []
    p2_before: list[float] = []
    changes: list[float] = []
    lengths: list[int] = []
    settings = zip(agents.to_pylist(), k.to_pylist(), initial.to_pylist(), strict=True)
    for (length, ladder), (count, factor, start) in zip(_ladders(games), settings, strict=True):
        lengths.append(length)
        ratings = [start] * (count + 1)
        for p1, p2, score in ladder:
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
    return _lists(lengths, columns, _ELO_COLUMNS)


def glicko_fold(games: pa.ChunkedArray, agents: pa.ChunkedArray) -> pa.Array:
    """Glicko-1 ratings (Glickman 1999) after all games, each a rating period of its own.

    Args:
        games, agents: as of :func:`elo_fold`; all agents start from 1500 with a deviation of 130, Showdown's.

    Returns:
        lists of {rating, deviation}, one element an agent, by number.
    """
    found: list[float] = []
    deviations_found: list[float] = []
    counts = agents.to_pylist()
    for (_, ladder), count in zip(_ladders(games), counts, strict=True):
        ratings, deviations = [GLICKO_INITIAL] * (count + 1), [LARGEST_DEVIATION] * (count + 1)
        for p1, p2, score in ladder:
            p1_now, p2_now = (ratings[p1], deviations[p1]), (ratings[p2], deviations[p2])
            ratings[p1], deviations[p1] = _glicko_after(*p1_now, *p2_now, score)
            ratings[p2], deviations[p2] = _glicko_after(*p2_now, *p1_now, 1 - score)
        found += ratings[1:]
        deviations_found += deviations[1:]
    return _lists(counts, (np.array(found, float), np.array(deviations_found, float)), _GLICKO_COLUMNS)


def _glicko_after(
    rating: float, deviation: float, other_rating: float, other_deviation: float, score: float
) -> tuple[float, float]:
    """An agent's rating and deviation after one game."""
    weight = 1 / sqrt(1 + 3 * (Q * other_deviation / pi) ** 2)
    chance = 1 / (1 + 10 ** (weight * (other_rating - rating) / 400))
    information = 1 / deviation**2 + (Q * weight) ** 2 * chance * (1 - chance)
    bounded = min(max(1 / sqrt(information), SMALLEST_DEVIATION), LARGEST_DEVIATION)
    return rating + Q * weight * (score - chance) / information, bounded


def _ladders(games: pa.ChunkedArray) -> Iterator[tuple[int, Iterator[Game]]]:
    """How many games each ladder has, and those games."""
    lists = games.combine_chunks()
    played = zip(*(column.to_pylist() for column in lists.flatten().flatten()), strict=True)
    for begin, end in pairwise(lists.offsets.to_pylist()):
        yield end - begin, islice(played, end - begin)


def _lists(lengths: list[int], columns: tuple[np.ndarray[Any, Any], ...], names: tuple[str, ...]) -> pa.Array:
    values = pa.StructArray.from_arrays([_array(column) for column in columns], names)
    return pa.ListArray.from_arrays(_array(np.cumsum([0, *lengths], dtype=np.int32)), values)


def _structs(columns: tuple[str, ...]) -> str:
    return f"STRUCT({', '.join(f'{column} DOUBLE' for column in columns)})[]"


def _array(column: np.ndarray[Any, np.dtype[Any]]) -> pa.Array:
    """As pa.array, but without importing pandas, which takes longer than rating 100,000 battles."""
    return pa.Array.from_buffers(pa.from_numpy_dtype(column.dtype), len(column), [None, pa.py_buffer(column)])
