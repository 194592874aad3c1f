"""Files of metamon: names and documents of trajectories, and battle logs (``battle_log_*.csv``)."""

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

# Largest size of a file, compressed or not: 50 times that of the longest battle, which has 1,000 turns.
LARGEST = 256 << 20
# Size of the parts in which files are decompressed, unless four times the compressed size is more.
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
# Heads of a battle log's columns, and fields of LogRow; newer versions have one more column.
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
# The value of a team column if the team has no file.
NO_TEAM = "None"


class BrokenFileError(ValueError):
    """A file, or a line of one, cannot be read; the message has the reason."""


@dataclass(frozen=True, slots=True)
class TrajectoryName:
    """The parts of a trajectory's file name.

    Attributes:
        record: metamon's id of this perspective, or of the battle in sets of human replays.
        rating: rating of the player; None if unrated.
        played_at: time to the second in metamon's own files, a date in sets of human replays.
        result: WIN or LOSS; ties have LOSS.
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
        line: number of the line in the file, from 1.
        team, opponent_team: paths of both sides' team files; None if unknown.
        record: the id in the file name of the trajectory, if there is one.
        steps: number of the player's decisions; the column is called Turn Count.
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
    """Parses a trajectory's file name without its suffix.

    Raises:
        BrokenFileError: the name has another form.
    """
    found = next(filter(None, (name.fullmatch(text) for name in _NAMES)), None)
    if found is None:
        raise BrokenFileError(
            "its name has another form than <id>_<rating>_<player>_vs_<opponent>_<date>_<WIN or LOSS>"
        )
    for time_format in TIME_FORMATS:
        try:
            played_at = datetime.strptime(found["date"], time_format)  # noqa: DTZ007
            break
        except ValueError:
            continue
    else:
        raise BrokenFileError(
            f"the date {found['date']!r} in its name has another form than 12-31-2025 or 12-31-2025-23:59:59"
        )
    rating = _number(found["rating"]) if found["rating"].isdecimal() else None
    if rating is None and found["rating"].isdecimal():
        raise BrokenFileError(f"the rating {found['rating']} in its name is too large")
    for player in (found["player"], found["opponent"]):
        _check_player(player)
    if not text.isprintable():
        raise BrokenFileError(f"its name has characters that are not printable: {text!r}")
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
    """The JSON document of a trajectory.

    Raises:
        BrokenFileError: the file cannot be read, is not one complete lz4 frame, is too large, or is not UTF-8.
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
    """Opens a regular file.

    Raises:
        BrokenFileError: it is not a regular file, is too large, or cannot be opened.
    """
    try:
        # Without O_NONBLOCK opening a named pipe would wait for its writer.
        file = io.FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise BrokenFileError("it is not a regular file, but a socket or a device") from error
        raise BrokenFileError(error.strerror or str(error)) from error
    try:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise BrokenFileError(f"it is not a regular file, but {_kind(status.st_mode)}")
        if status.st_size > LARGEST:
            raise BrokenFileError(f"it is too large: {status.st_size:,} bytes, at most {LARGEST:,} are allowed")
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
    """The content of one lz4 frame.

    Raises:
        BrokenFileError: the frame is incomplete, too large, or followed by other bytes.
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
                raise BrokenFileError("it is not a complete lz4 frame: it ends too early")
    except (RuntimeError, EOFError) as error:
        raise BrokenFileError(f"it is not a complete lz4 frame: {error}") from error
    if size > LARGEST:
        raise BrokenFileError(f"it is too large: more than {LARGEST:,} bytes after decompression")
    if decompressor.unused_data:
        raise BrokenFileError(f"{len(decompressor.unused_data):,} bytes follow its lz4 frame: expected one frame only")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def read_battle_log(path: Path) -> Iterator[LogRow | str]:
    """The rows of a battle log; the reason in place of each row that cannot be read.

    Raises:
        BrokenFileError: the file is not a battle log.
    """
    named = _LOG_FORMAT.fullmatch(path.stem)
    if named is None:
        raise BrokenFileError("its name has another form than battle_log_<player>_<format>.csv")
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
    """A number of at most nine digits; None if the text is not one."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def models_of_players(path: Path) -> dict[str, str]:
    """The models by the user names under which they played, from an old ``tournament_results.json``.

    Raises:
        BrokenFileError: the file has another form, or a name cannot be an agent's.
    """
    try:
        matchups = msgspec.json.decode(_content(path).removeprefix(codecs.BOM_UTF8), type=_Tournament).matchups
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BrokenFileError(f"it does not list matchups with models and user names: {error}") from error
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
    """The id that a battle log's row and a file name share: ten digits, or all of an id that is not metamon's."""
    return record.rpartition("-")[2] if record.startswith("metamon-") else record


def format_of(record: str) -> str | None:
    """The battle format at the beginning of a file name."""
    found = _FORMAT.search(record.lower())
    return found[1] if found else None
