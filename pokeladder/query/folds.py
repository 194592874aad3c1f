"""Ratings that depend on the order of battles, folded in Python at a million battles a second.

Battles are read in order of finish in batches, so that memory does not grow with their number. SQL gets the final
ratings from the scalar functions ``elo_latest_rows`` and ``glicko_latest_rows``, and the ratings before and after each
battle from a table that DuckDB scans (:class:`Progression`). The macros ``elo_latest``, ``glicko_latest`` and
``elo_progression_with`` compute the same in plain SQL, for other DuckDB clients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby, islice, pairwise
from math import log, pi, sqrt
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from duckdb.func import PythonUDFType

from pokeladder.query.texts import GAMES, query_text

# p1 and p2, numbers of agents, and p1's score.
Game = tuple[int, int, float]
# Makes another connection to the same database.
Connect = Callable[[], duckdb.DuckDBPyConnection]
# Numbers in the order of battles: p1's and p2's ratings before each, and what p1 gains by it and p2 loses.
Elo = tuple[list[float], list[float], list[float]]

_GAMES = "STRUCT(p1 BIGINT, p2 BIGINT, score DOUBLE)[]"
_ELO_COLUMNS = ("p1_before", "p1_after", "p2_before", "p2_after")
_FLOAT = pa.float64()
_PROGRESSION = pa.schema(
    [
        ("format", pa.string()),
        ("seq", pa.int64()),
        ("battle_id", pa.string()),
        ("p1", pa.string()),
        ("p2", pa.string()),
        ("score", _FLOAT),
        *((name, _FLOAT) for name in _ELO_COLUMNS),
    ]
)
GLICKO_INITIAL = 1500.0
LARGEST_DEVIATION = 130.0
SMALLEST_DEVIATION = 25.0
Q = log(10) / 400
# Battles that are in memory at once.
BATCH = 1 << 16


def register(connection: duckdb.DuckDBPyConnection, connect: Connect) -> None:
    """Registers the functions; DuckDB returns NULL for arguments that are NULL.

    Args:
        connect: makes another connection to the same database, whose ``rated_battles`` the functions fold. It must not
            refer to ``connection``, or that would never be closed.
    """
    columns = ", ".join(f"{column} DOUBLE" for column in _ELO_COLUMNS)
    connection.create_function(
        "elo_fold",
        elo_fold,
        [_GAMES, "BIGINT", "DOUBLE", "DOUBLE"],
        f"STRUCT({columns})[]",
        type=PythonUDFType.ARROW,
    )

    def elo_latest_rows(k: float, initial: float) -> list[dict[str, Any]]:
        return list(_elo_latest(connect, k, initial))

    def glicko_latest_rows(initial: float) -> list[dict[str, Any]]:
        return list(_glicko_latest(connect, initial))

    rows = "STRUCT(format VARCHAR, agent VARCHAR, {} DOUBLE, games BIGINT)[]"
    # The results depend on the battles: with side effects DuckDB does not call them while it plans the query.
    connection.create_function(
        "elo_latest_rows", elo_latest_rows, ["DOUBLE", "DOUBLE"], rows.format("elo"), side_effects=True
    )
    connection.create_function(
        "glicko_latest_rows",
        glicko_latest_rows,
        ["DOUBLE"],
        rows.format("rating DOUBLE, deviation"),
        side_effects=True,
    )


class Progression:
    """Every rated battle with both Elo ratings before and after it, as a table that DuckDB scans anew for each query.

    The rows have the columns of ``elo_progression_with``, and come by format and then in order of finish.

    Args:
        connect: makes another connection to the database whose ``rated_battles`` are folded.
    """

    def __init__(self, connect: Connect, k: float, initial: float) -> None:
        self._connect = connect
        self._k = k
        self._initial = initial

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return pa.RecordBatchReader.from_batches(_PROGRESSION, self._batches()).__arrow_c_stream__(requested_schema)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        ratings: list[float] = []
        for part in _parts(self._connect):
            if part.begin == 0:
                ratings = []
            ratings += [self._initial] * (len(part.numbering.numbers) - len(ratings))
            elo = _elo(part.games(), ratings, self._k)
            yield pa.record_batch(
                [
                    pa.repeat(part.numbering.format, len(part.rows)),
                    _array(np.arange(part.begin + 1, part.begin + len(part.rows) + 1)),
                    *(part.rows.column(name) for name in ("battle_id", "p1", "p2", "score")),
                    *map(_array, _elo_columns(elo)),
                ],
                schema=_PROGRESSION,
            )


def elo_fold(games: pa.ChunkedArray, agents: pa.ChunkedArray, k: pa.ChunkedArray, initial: pa.ChunkedArray) -> pa.Array:
    """Elo ratings before and after each game; each row of the arguments is rated by itself.

    Args:
        games: lists of {p1, p2, score} in the order of play; agents are numbered from 1, score is p1's: 1, 0.5 or 0.
        agents: how many there are.
        k, initial: the K factor, and the rating that agents start from.

    Returns:
        lists of {p1_before, p1_after, p2_before, p2_after}, one element a game.
    """
    lengths: list[int] = []
    found: Elo = ([], [], [])
    settings = zip(agents.to_pylist(), k.to_pylist(), initial.to_pylist(), strict=True)
    for (length, listed), (count, factor, start) in zip(_lists(games), settings, strict=True):
        lengths.append(length)
        for column, values in zip(found, _elo(listed, [start] * (count + 1), factor), strict=True):
            column.extend(values)
    values = pa.StructArray.from_arrays([_array(column) for column in _elo_columns(found)], _ELO_COLUMNS)
    return pa.ListArray.from_arrays(_array(np.cumsum([0, *lengths], dtype=np.int32)), values)


def _elo_latest(connect: Connect, k: float, initial: float) -> Iterator[dict[str, Any]]:
    """Each agent's rating after its last battle, and the number of its battles."""
    for numbering, parts in _by_numbering(connect):
        ratings: list[float] = []
        for part in parts:
            ratings += [initial] * (len(numbering.numbers) - len(ratings))
            _elo(part.games(), ratings, k)
        for agent, number in numbering.numbers.items():
            yield {"format": numbering.format, "agent": agent, "elo": ratings[number], "games": numbering.games[number]}


def _glicko_latest(connect: Connect, initial: float) -> Iterator[dict[str, Any]]:
    """Each agent's Glicko-1 rating (Glickman 1999) and deviation, every battle being a rating period of its own."""
    for numbering, parts in _by_numbering(connect):
        ratings: list[float] = []
        deviations: list[float] = []
        for part in parts:
            new = len(numbering.numbers) - len(ratings)
            ratings += [initial] * new
            deviations += [LARGEST_DEVIATION] * new
            for p1, p2, score in part.games():
                p1_now, p2_now = (ratings[p1], deviations[p1]), (ratings[p2], deviations[p2])
                ratings[p1], deviations[p1] = _glicko_after(*p1_now, *p2_now, score)
                ratings[p2], deviations[p2] = _glicko_after(*p2_now, *p1_now, 1 - score)
        for agent, number in numbering.numbers.items():
            yield {
                "format": numbering.format,
                "agent": agent,
                "rating": ratings[number],
                "deviation": deviations[number],
                "games": numbering.games[number],
            }


def _elo(games: Iterable[Game], ratings: list[float], k: float) -> Elo:
    """Folds games into ``ratings``, those of the agents by number."""
    p1_before: list[float] = []
    p2_before: list[float] = []
    changes: list[float] = []
    for p1, p2, score in games:
        first, second = ratings[p1], ratings[p2]
        try:
            expected = 1 / (1 + 10 ** ((second - first) / 400))
        except OverflowError:
            expected = 0.0
        change = k * (score - expected)
        ratings[p1], ratings[p2] = first + change, second - change
        p1_before.append(first)
        p2_before.append(second)
        changes.append(change)
    return p1_before, p2_before, changes


def _elo_columns(elo: Elo) -> tuple[np.ndarray[Any, Any], ...]:
    """The columns :data:`_ELO_COLUMNS`."""
    p1_before, p2_before, changes = (np.array(column, float) for column in elo)
    return p1_before, p1_before + changes, p2_before, p2_before - changes


def _glicko_after(
    rating: float, deviation: float, other_rating: float, other_deviation: float, score: float
) -> tuple[float, float]:
    """An agent's rating and deviation after one game."""
    weight = 1 / sqrt(1 + 3 * (Q * other_deviation / pi) ** 2)
    chance = 1 / (1 + 10 ** (weight * (other_rating - rating) / 400))
    information = 1 / deviation**2 + (Q * weight) ** 2 * chance * (1 - chance)
    bounded = min(max(1 / sqrt(information), SMALLEST_DEVIATION), LARGEST_DEVIATION)
    return rating + Q * weight * (score - chance) / information, bounded


@dataclass(eq=False)
class _Numbering:
    """The agents of a format, numbered from 0 in the order in which they come.

    Attributes:
        numbers: by name.
        games: of each agent, by number.
    """

    format: str
    numbers: dict[str, int] = field(default_factory=dict)
    games: list[int] = field(default_factory=list)

    def of(self, names: pa.Array) -> list[int]:
        """The numbers of agents; counts a game for each name."""
        coded = names.dictionary_encode()
        counts = np.bincount(coded.indices, minlength=len(coded.dictionary)).tolist()
        numbers = []
        for name, count in zip(coded.dictionary.to_pylist(), counts, strict=True):
            number = self.numbers.setdefault(name, len(self.numbers))
            if number == len(self.games):
                self.games.append(0)
            self.games[number] += count
            numbers.append(number)
        return np.array(numbers)[coded.indices].tolist()  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _Part:
    """Battles of one format that follow each other.

    Attributes:
        begin: how many of the format come before.
        rows: of the query ``games_in_order``.
        p1, p2: the agents' numbers.
    """

    numbering: _Numbering
    begin: int
    rows: pa.RecordBatch
    p1: list[int]
    p2: list[int]

    def games(self) -> Iterator[Game]:
        return zip(self.p1, self.p2, self.rows.column("score").to_pylist(), strict=True)


def _parts(connect: Connect) -> Iterator[_Part]:
    """All rated battles, by format and then in order of finish."""
    numbering = None
    begin = 0
    with connect() as connection:
        for batch in connection.sql(query_text(GAMES)).to_arrow_reader(BATCH):
            for rows in _by_format(batch):
                name = rows.column("format")[0].as_py()
                if numbering is None or numbering.format != name:
                    numbering, begin = _Numbering(name), 0
                p1, p2 = (numbering.of(rows.column(side)) for side in ("p1", "p2"))
                yield _Part(numbering, begin, rows, p1, p2)
                begin += len(rows)


def _by_format(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The rows of each format, which follow each other."""
    coded = np.asarray(batch.column("format").dictionary_encode().indices)
    bounds = [0, *(np.flatnonzero(np.diff(coded)) + 1).tolist(), len(batch)]
    for begin, end in pairwise(bounds):
        if begin < end:
            yield batch.slice(begin, end - begin)


def _by_numbering(connect: Connect) -> Iterator[tuple[_Numbering, Iterator[_Part]]]:
    """The parts of each format, which must be read before the next format is asked for."""
    return groupby(_parts(connect), lambda part: part.numbering)


def _lists(games: pa.ChunkedArray) -> Iterator[tuple[int, Iterator[Game]]]:
    """The length of each list of games, and its games."""
    lists = games.combine_chunks()
    played = zip(*(column.to_pylist() for column in lists.flatten().flatten()), strict=True)
    for begin, end in pairwise(lists.offsets.to_pylist()):
        yield end - begin, islice(played, end - begin)


def _array(column: np.ndarray[Any, np.dtype[Any]]) -> pa.Array:
    """The same as ``pa.array``, which would import pandas: that takes longer than rating 100,000 battles."""
    return pa.Array.from_buffers(pa.from_numpy_dtype(column.dtype), len(column), [None, pa.py_buffer(column)])
