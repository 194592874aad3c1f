"""Files as metamon names and writes them: trajectories, and the ``battle_log_*.csv`` beside them."""

from __future__ import annotations

import codecs
import csv
import errno
import io
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import lz4.frame
import msgspec

from pokeladder.names import RULE, is_name, shown

# No file is larger, compressed or not: the longest battle of 1,000 turns takes a fiftieth of it.
LARGEST = 256 << 20
# Decompressed at once, if the file is not larger itself.
PART = 4 << 20
SUFFIXES = (".json.lz4", ".json")
TIME_FORMATS = ("%m-%d-%Y-%H:%M:%S", "%m-%d-%Y")
# <id>_<rating>_<player>_vs_<opponent>_<date>_<result>; players may have "_" in their names. Newer versions of metamon
# put _ts-<team set of the player> before the result; a team set may have "_" in its name, too.
_BEGIN = r"(?P<record>[^_]+)_(?P<rating>[^_]+)_(?P<player>.+?)_vs_(?P<opponent>.+)_"
_NAMES = (
    re.compile(_BEGIN + r"(?P<date>\d+-\d+-\d+-\d+:\d+:\d+)_ts-.+_(?P<result>WIN|LOSS)"),
    re.compile(_BEGIN + r"(?P<date>[^_]+)_(?P<result>WIN|LOSS)"),
)
_FORMAT = re.compile(r"(?:^|-)(gen\d[a-z0-9]*)-")
_LOG_FORMAT = re.compile(r"battle_log(?:_.*)?_([a-z0-9]+)")
# The heads of a battle log's columns, and the fields of LogRow that they fill; newer versions have one column more.
LOG_COLUMNS = {
    "Player Username": "player",
    "Team File": "team",
    "Opponent Username": "opponent",
    "Result": "result",
    "Turn Count": "steps",
    "Battle ID": "record",
}
OPPONENT_TEAM = "Opponent Team File"
NEWER_LOG_COLUMNS = {"Player Username": "player", "Team File": "team", OPPONENT_TEAM: "opponent_team"} | LOG_COLUMNS
# What metamon writes where no file holds the team.
NO_TEAM = "None"


class BrokenFileError(ValueError):
    """A file, or a line of one, is not what its name promises; the message says why."""


@dataclass(frozen=True, slots=True)
class TrajectoryName:
    """What a trajectory's file name says.

    Attributes:
        record: metamon's id of this perspective, or of the game in sets of human replays.
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
        team, opponent_team: paths of both sides' team files; None where the log does not tell.
        record: the id that this row's trajectory has in its file name, if there is one.
        steps: the player's decisions; the column is called Turn Count.
    """

    source: str
    line: int
    format: str
    player: str
    opponent: str
    team: str | None
    opponent_team: str | None
    result: str
    steps: int
    record: str


class _Matchup(msgspec.Struct):
    usernames: tuple[str, str] | None = None
    model1: str = ""
    model2: str = ""


class _Tournament(msgspec.Struct):
    matchups: list[_Matchup]


def stem(path: Path) -> str:
    """The file's name without its suffix."""
    return next(path.name.removesuffix(suffix) for suffix in SUFFIXES if path.name.endswith(suffix))


def parse_name(text: str) -> TrajectoryName:
    """Reads a trajectory's file name without its suffix.

    Raises:
        BrokenFileError: it does not say who played when.
    """
    found = next(filter(None, (name.fullmatch(text) for name in _NAMES)), None)
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
    for player in (found["player"], found["opponent"]):
        _check_player(player)
    if not text.isprintable():
        raise BrokenFileError(f"its name has characters that cannot be shown: {text!r}")
    return TrajectoryName(
        record=found["record"],
        rating=rating,
        player=found["player"],
        opponent=found["opponent"],
        played_at=played_at,
        result=found["result"],
    )


def _check_player(name: str) -> None:
    if not is_name(name):
        raise BrokenFileError(f"{name[:200]!r} cannot be a player's name: {RULE}")


def read_document(path: Path) -> bytes:
    """A trajectory's JSON document as it was written.

    Raises:
        BrokenFileError: the file cannot be read, is not one whole lz4 frame, is too large, or is no UTF-8 text.
    """
    content = _content(path)
    if path.name.endswith(".lz4"):
        content = _decompressed(content)
    if not content.isascii():
        try:
            content.decode()
        except UnicodeDecodeError as error:
            raise BrokenFileError(f"it is not UTF-8: {error}") from error
    return content


def _open(path: Path) -> io.FileIO:
    """Opens a regular file: one that ends, and whose reading nothing blocks.

    Raises:
        BrokenFileError: it is something else, too large, or cannot be opened.
    """
    try:
        # Without O_NONBLOCK the opening of a named pipe waits for its writer.
        file = io.FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise BrokenFileError("it is no regular file, but a socket or a device") from error
        raise BrokenFileError(error.strerror or str(error)) from error
    try:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise BrokenFileError(f"it is no regular file, but {_kind(status.st_mode)}")
        if status.st_size > LARGEST:
            raise BrokenFileError(f"it is too large: {status.st_size:,} bytes, of {LARGEST:,} at most")
    except BaseException:
        file.close()
        raise
    return file


def _kind(mode: int) -> str:
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a named pipe"}
    return next((name for test, name in kinds.items() if test(mode)), "a device")


def _content(path: Path) -> bytes:
    with _open(path) as file:
        try:
            content = file.read(os.fstat(file.fileno()).st_size + 1)
        except OSError as error:
            raise BrokenFileError(error.strerror or str(error)) from error
    if content is None:
        raise BrokenFileError("reading it would wait for another process")
    return content


def _decompressed(content: bytes) -> bytes:
    """The content of one lz4 frame, which is all that there is.

    Raises:
        BrokenFileError: it is not whole, it is too large, or something follows it.
    """
    decompressor = lz4.frame.LZ4FrameDecompressor()
    parts: list[bytes] = []
    size = 0
    try:
        while size <= LARGEST and not decompressor.eof:
            at_once = min(max(PART, 4 * len(content)), LARGEST + 1)
            parts.append(decompressor.decompress(b"" if parts else content, max_length=at_once))
            size += len(parts[-1])
            if decompressor.needs_input and not decompressor.eof:
                raise BrokenFileError("it is not a whole lz4 frame: it ends too early")
    except (RuntimeError, EOFError) as error:
        raise BrokenFileError(f"it is not a whole lz4 frame: {error}") from error
    if size > LARGEST:
        raise BrokenFileError(f"it is too large: more than {LARGEST:,} bytes when it is decompressed")
    if decompressor.unused_data:
        raise BrokenFileError(f"{len(decompressor.unused_data):,} bytes follow its lz4 frame: expected one frame alone")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def read_battle_log(path: Path) -> Iterator[LogRow | str]:
    """The rows of a battle log; for a row that cannot be read, why.

    Raises:
        BrokenFileError: the file is no battle log.
    """
    named = _LOG_FORMAT.fullmatch(path.stem)
    if named is None:
        raise BrokenFileError("its name does not say the battle format: expected battle_log_<player>_<format>.csv")
    try:
        # Some editors begin a file with a byte order mark.
        with io.TextIOWrapper(io.BufferedReader(_open(path)), encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, skipinitialspace=True)
            head = tuple(next(lines, ()))
            columns = next((known for known in (LOG_COLUMNS, NEWER_LOG_COLUMNS) if tuple(known) == head), None)
            if columns is None:
                raise BrokenFileError(
                    f"its first line is not {', '.join(LOG_COLUMNS)}, with or without {OPPONENT_TEAM} as the third"
                )
            for line in lines:
                yield _row(path, lines.line_num, named[1], list(columns.values()), line)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BrokenFileError(str(error)) from error


def _row(path: Path, number: int, battle_format: str, columns: list[str], line: list[str]) -> LogRow | str:
    if len(line) != len(columns):
        return f"line {number} has {len(line)} of {len(columns)} columns"
    found = dict(zip(columns, line, strict=True))
    if found["result"] not in ("WIN", "LOSS"):
        return f"line {number}: the result is {found['result'][:200]!r}, not WIN or LOSS"
    turn_count = _number(found["steps"])
    if turn_count is None:
        return f"line {number}: the turn count is {found['steps'][:200]!r}, not a number"
    if not (found["player"] and found["opponent"] and found["record"]):
        return f"line {number}: a name or the battle's id is empty"
    try:
        _check_player(found["player"])
        _check_player(found["opponent"])
    except BrokenFileError as error:
        return f"line {number}: {error}"
    team, opponent_team = (
        None if file in ("", NO_TEAM) else file for file in (found["team"], found.get("opponent_team", ""))
    )
    return LogRow(
        source=shown(str(path)),
        line=number,
        format=battle_format,
        player=found["player"],
        opponent=found["opponent"],
        team=team,
        opponent_team=opponent_team,
        result=found["result"],
        steps=turn_count,
        record=found["record"],
    )


def _number(text: str) -> int | None:
    """A number as small as ratings and turn counts are; None if it is not."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def models_of_players(path: Path) -> dict[str, str]:
    """Which model played under which user name, as an old ``tournament_results.json`` tells.

    Raises:
        BrokenFileError: the file is not such a file, or a name cannot be an agent's.
    """
    try:
        matchups = msgspec.json.decode(_content(path).removeprefix(codecs.BOM_UTF8), type=_Tournament).matchups
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BrokenFileError(f"it does not say which model played under which name: {error}") from error
    models = {
        player: model
        for matchup in matchups
        if matchup.usernames is not None
        for player, model in zip(matchup.usernames, (matchup.model1, matchup.model2), strict=True)
    }
    for name in {*models, *models.values()}:
        _check_player(name)
    return models


def record_id(record: str) -> str:
    """The id that a battle log's row and a file name share: metamon's ten digits, or the whole of another id."""
    return record.rpartition("-")[2] if record.startswith("metamon-") else record


def format_of(record: str) -> str | None:
    """The battle format that a file name begins with."""
    found = _FORMAT.search(record.lower())
    return found[1] if found else None
