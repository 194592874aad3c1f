"""What metamon leaves of its battles: a trajectory and a line of a battle log each, taken in as they come."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lz4.frame

from pokeladder import metamon_files
from pokeladder.metamon_files import BrokenFileError
from pokeladder.records import SIDES, Recorded

# How long after the end of a battle its trajectory may come.
PATIENCE_SECONDS = 20.0


@dataclass
class _Expected:
    """A battle whose trajectory is to come.

    Attributes:
        result: WIN or LOSS, as the server says; metamon writes LOSS for ties.
        invalid_steps: the user's, as the server says.
        final: there is nothing more to come.
    """

    result: str
    invalid_steps: tuple[int, ...] | None
    since: float
    path: Path | None = None
    final: bool = False


class Outbox:
    """The folder that one process writes to; it plays one battle after the other.

    Args:
        user: its user name, by which its files are known.
    """

    def __init__(self, folder: Path, user: str) -> None:
        self._folder = folder
        self._user = user
        self._expected: dict[int, _Expected] = {}
        self._seen: set[Path] = set()

    def expect(self, number: int, record: Mapping[str, Any]) -> None:
        """Battle ``number`` has ended; what the server says of it is ``record``."""
        # It writes when a battle ends, before it begins the next one: what is there now is of earlier ones.
        self._gather()
        for earlier in self._expected.values():
            earlier.final = True
        which = record["users"].index(self._user)
        result = "WIN" if record["winner"] == SIDES[which] else "LOSS"
        invalid_steps = record["invalid"] and tuple(record["invalid"][which])
        self._expected[number] = _Expected(result, invalid_steps, time.monotonic())

    def ready(self, number: int, *, gone: bool) -> bool:
        """Whether the battle's trajectory is there, or will not come.

        Args:
            gone: the process has ended.
        """
        self._gather()
        expected = self._expected[number]
        late = time.monotonic() > expected.since + PATIENCE_SECONDS
        return expected.path is not None or expected.final or gone or late

    def take(self, number: int) -> tuple[Recorded | None, str | None]:
        """The battle's trajectory, and what the user should know of it; the file goes."""
        expected = self._expected.pop(number)
        if expected.path is None:
            return None, "it wrote no trajectory of a battle: what the server recorded takes its place"
        try:
            document = metamon_files.read_document(expected.path)
        except BrokenFileError as error:
            return None, f"a trajectory that it wrote cannot be read: {error}"
        finally:
            expected.path.unlink(missing_ok=True)
        name = metamon_files.stem(expected.path)
        said = {metamon_files.parse_name(name).result, *self._logged(metamon_files.parse_name(name).record)}
        remark = None
        if said != {expected.result}:
            remark = f"it says {' and '.join(sorted(said))} of a battle that the server calls its {expected.result}"
        frame = lz4.frame.compress(document)
        return Recorded(
            frame, len(document), frame, expected.invalid_steps, source=str(expected.path), name=name
        ), remark

    def _logged(self, record: str) -> set[str]:
        """What the lines of battle logs say of a battle."""
        results = set()
        for path in self._folder.rglob("battle_log_*.csv"):
            try:
                rows = [row for row in metamon_files.read_battle_log(path) if not isinstance(row, str)]
            except BrokenFileError:
                continue
            results |= {row.result for row in rows if row.record == metamon_files.record_id(record)}
        return results

    def _gather(self) -> None:
        paths = [path for suffix in metamon_files.SUFFIXES for path in self._folder.rglob(f"*{suffix}")]
        for path in sorted(set(paths) - self._seen, key=lambda path: path.stat().st_mtime):
            self._seen.add(path)
            try:
                player = metamon_files.parse_name(metamon_files.stem(path)).player
            except BrokenFileError:
                continue
            waiting = [one for one in self._expected.values() if one.path is None and not one.final]
            if player == self._user and waiting:
                waiting[0].path = path
