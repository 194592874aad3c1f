"""Files as metamon names and writes them: trajectories, and the ``battle_log_*.csv`` beside them."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import lz4.frame

SUFFIXES = (".json.lz4", ".json")
TIME_FORMATS = ("%m-%d-%Y-%H:%M:%S", "%m-%d-%Y")
# <id>_<rating>_<player>_vs_<opponent>_<date>_<result>; players may have "_" in their names.
_NAME = re.compile(
    r"(?P<record>[^_]+)_(?P<rating>[^_]+)_(?P<player>.+?)_vs_(?P<opponent>.+)_(?P<date>[^_]+)_(?P<result>WIN|LOSS)"
)
_FORMAT = re.compile(r"(?:^|-)(gen\d[a-z0-9]*)-")
LOG_COLUMNS = ("Player Username", "Team File", "Opponent Username", "Result", "Turn Count", "Battle ID")


class BrokenFileError(ValueError):
    """A file, or a line of one, is not what its name promises; the message says why."""


@dataclass(frozen=True, slots=True)
class TrajectoryName:
    """What a trajectory's file name says.

    Attributes:
        record: metamon's id of this point of view, or of the game in sets of human replays.
        rating: the player's; None if unrated.
        played_at: to the second in metamon's own files, a date in those of human replays.
        result: WIN or LOSS; ties are LOSS here.
    """

    record: str
    rating: int | None
    player: str
    opponent: str
    played_at: datetime
    result: str


@dataclass(frozen=True, slots=True)
class LogRow:
    """One row of a ``battle_log_<player>_<format>.csv``.

    Attributes:
        line: its number in the file, from 1.
        record: the id that this row's trajectory has in its file name, if there is one.
        steps: the player's decisions; the column is called Turn Count.
    """

    source: str
    line: int
    format: str
    player: str
    opponent: str
    team: str
    result: str
    steps: int
    record: str


def stem(path: Path) -> str:
    """The file's name without its suffix."""
    return next(path.name.removesuffix(suffix) for suffix in SUFFIXES if path.name.endswith(suffix))


def parse_name(text: str) -> TrajectoryName:
    """Reads a trajectory's file name without its suffix.

    Raises:
        BrokenFileError: it does not say who played when.
    """
    found = _NAME.fullmatch(text)
    if found is None:
        raise BrokenFileError(
            "its name does not say who played: expected <id>_<rating>_<player>_vs_<opponent>_<date>_<WIN or LOSS>"
        )
    for time_format in TIME_FORMATS:
        try:
            played_at = datetime.strptime(found["date"], time_format)  # noqa: DTZ007
            break
        except ValueError:
            continue
    else:
        raise BrokenFileError(
            f"there is no date in its name: {found['date']!r} is neither 12-31-2025 nor that with a time"
        )
    rating = _number(found["rating"]) if found["rating"].isdecimal() else None
    if rating is None and found["rating"].isdecimal():
        raise BrokenFileError(f"there is no rating like the {found['rating']} in its name")
    return TrajectoryName(
        record=found["record"],
        rating=rating,
        player=found["player"],
        opponent=found["opponent"],
        played_at=played_at,
        result=found["result"],
    )


def read_document(path: Path) -> bytes:
    """A trajectory's JSON document as it was written.

    Raises:
        BrokenFileError: the file cannot be read, is not a whole lz4 frame, or is no UTF-8 text.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BrokenFileError(error.strerror or str(error)) from error
    if path.name.endswith(".lz4"):
        try:
            content = lz4.frame.decompress(content)
        except (RuntimeError, EOFError) as error:
            raise BrokenFileError(f"it is not a whole lz4 frame: {error}") from error
    if not content.isascii():
        try:
            content.decode()
        except UnicodeDecodeError as error:
            raise BrokenFileError(f"it is not UTF-8: {error}") from error
    return content


def read_battle_log(path: Path) -> Iterator[LogRow | str]:
    """The rows of a battle log; for a row that cannot be read, why.

    Raises:
        BrokenFileError: the file is no battle log.
    """
    battle_format = path.stem.rpartition("_")[2]
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = csv.reader(file, skipinitialspace=True)
            if tuple(next(lines, ())) != LOG_COLUMNS:
                raise BrokenFileError(f"its first line is not {', '.join(LOG_COLUMNS)}")
            for line in lines:
                yield _row(path, lines.line_num, battle_format, line)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BrokenFileError(str(error)) from error


def _row(path: Path, number: int, battle_format: str, line: list[str]) -> LogRow | str:
    if len(line) != len(LOG_COLUMNS):
        return f"line {number} has {len(line)} of {len(LOG_COLUMNS)} columns"
    player, team, opponent, result, steps, record = line
    if result not in ("WIN", "LOSS"):
        return f"line {number}: the result is {result!r}, not WIN or LOSS"
    turn_count = _number(steps)
    if turn_count is None:
        return f"line {number}: the turn count is {steps!r}, not a number"
    if not (player and opponent and record):
        return f"line {number}: a name or the battle's id is empty"
    return LogRow(str(path), number, battle_format, player, opponent, team, result, turn_count, record)


def _number(text: str) -> int | None:
    """A number as small as ratings and turn counts are; None if it is not."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def models_of_players(path: Path) -> dict[str, str]:
    """Which model played under which user name, as an old ``tournament_results.json`` tells.

    Raises:
        BrokenFileError: the file is not such a file.
    """
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
        matchups = [matchup for matchup in document["matchups"] if "usernames" in matchup]
        return {
            player: matchup[model]
            for matchup in matchups
            for player, model in zip(matchup["usernames"], ("model1", "model2"), strict=True)
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokenFileError(f"it does not say which model played under which name: {error}") from error


def record_id(record: str) -> str:
    """The id that a battle log's row and a file name share: metamon's ten digits, or the whole of another id."""
    return record.rpartition("-")[2] if record.startswith("metamon-") else record


def format_of(record: str) -> str | None:
    """The battle format that a file name begins with."""
    found = _FORMAT.search(record.lower())
    return found[1] if found else None
