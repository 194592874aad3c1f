"""What metamon leaves of its battles: a trajectory and a line of a battle log each, taken in as they come."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lz4.frame

from pokeladder.metamon import files as metamon_files
from pokeladder.metamon.files import BrokenFileError, TrajectoryName
from pokeladder.records import SIDES, Recorded
from pokeladder.trajectories.outlines import outline_of

# How long after the end of a battle its trajectory may come.
PATIENCE_SECONDS = 20.0


@dataclass
class _Expected:
    """A battle whose trajectory is to come.

    Attributes:
        result: WIN or LOSS, as the server says; metamon writes LOSS for ties.
        invalid_steps: the user's, as the server says.
        found: the trajectory.
        remark: what the user should know of it.
        final: there is nothing more to come.
    """

    result: str
    invalid_steps: tuple[int, ...] | None
    since: float
    found: Recorded | None = None
    remark: str | None = None
    final: bool = False


class MetamonOutput:
    """The folder that one process writes to; it plays one battle after the other. Files go once they are read.

    Args:
        user: its user name, by which its files are known.
    """

    def __init__(self, folder: Path, user: str) -> None:
        self._folder = folder
        self._user = user
        self._expected: dict[int, _Expected] = {}

    def expect(self, number: int, record: Mapping[str, Any]) -> None:
        """Battle ``number`` has ended; what the server says of it is ``record``."""
        # It writes when a battle ends, before it begins the next one: what is there now is of earlier ones.
        self.gather()
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
        self.gather()
        expected = self._expected[number]
        late = time.monotonic() > expected.since + PATIENCE_SECONDS
        return expected.final or gone or late

    def take(self, number: int) -> tuple[Recorded | None, str | None]:
        """The battle's trajectory, and what the user should know of it."""
        expected = self._expected.pop(number)
        if not expected.final or (expected.found is None and expected.remark is None):
            return None, "it wrote no trajectory of a battle: what the server recorded takes its place"
        return expected.found, expected.remark

    def gather(self) -> None:
        """Takes in the files that have come, and clears them away."""
        paths = [path for suffix in metamon_files.SUFFIXES for path in self._folder.rglob(f"*{suffix}")]
        for path in sorted(paths, key=lambda path: path.stat().st_mtime):
            try:
                name = metamon_files.parse_name(metamon_files.stem(path))
            except BrokenFileError:
                continue
            waiting = [one for one in self._expected.values() if not one.final]
            if name.player == self._user and waiting:
                self._take_in(waiting[0], path, name)
                path.unlink()

    def _take_in(self, expected: _Expected, path: Path, name: TrajectoryName) -> None:
        expected.final = True
        try:
            document = metamon_files.read_document(path)
        except BrokenFileError as error:
            expected.remark = f"a trajectory that it wrote cannot be read: {error}"
            return
        said = {name.result, *self._logged(metamon_files.record_id(name.record))}
        if said != {expected.result}:
            told = " and ".join(sorted(said))
            expected.remark = f"it says {told} of a battle that is a {expected.result} of its, says the server"
        outline = outline_of(document)
        if outline.unreadable is not None:
            expected.remark = f"a trajectory that it wrote cannot be read: {outline.unreadable}"
            return
        frame = lz4.frame.compress(document)
        expected.found = Recorded(frame, len(document), outline, expected.invalid_steps, "recorded by the agent")

    def _logged(self, record: str) -> set[str]:
        """What the lines of battle logs say of a battle."""
        results = set()
        for path in self._folder.rglob("battle_log_*.csv"):
            try:
                rows = [row for row in metamon_files.read_battle_log(path) if not isinstance(row, str)]
            except BrokenFileError:
                continue
            results |= {row.result for row in rows if row.record == record}
        return results
