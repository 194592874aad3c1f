"""Collects the trajectories and battle logs that a process of metamon writes while it plays on a server."""

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

# Longest wait for a trajectory after the end of its battle, in seconds.
PATIENCE_SECONDS = 20.0


@dataclass
class _Expected:
    """A battle whose trajectory is expected.

    Attributes:
        result: WIN or LOSS according to the server; ties have LOSS, as in metamon's files.
        invalid_steps: the agent's invalid steps according to the server.
        found: the trajectory.
        remark: a remark for the user.
        final: True once no more files can come.
    """

    result: str
    invalid_steps: tuple[int, ...] | None
    since: float
    found: Recorded | None = None
    remark: str | None = None
    final: bool = False


class MetamonOutput:
    """The output folder of a process that plays one battle at a time. Files are removed when read.

    Args:
        user: user name of the process, which is part of its files' names.
    """

    def __init__(self, folder: Path, user: str) -> None:
        self._folder = folder
        self._user = user
        self._expected: dict[int, _Expected] = {}

    def expect(self, number: int, record: Mapping[str, Any]) -> None:
        """Registers battle ``number``, which has ended with the server's ``record``."""
        # Files are written at the end of a battle, before the next one: the present ones belong to earlier battles.
        self.gather()
        for earlier in self._expected.values():
            earlier.final = True
        which = record["users"].index(self._user)
        result = "WIN" if record["winner"] == SIDES[which] else "LOSS"
        invalid_steps = record["invalid"] and tuple(record["invalid"][which])
        self._expected[number] = _Expected(result, invalid_steps, time.monotonic())

    def ready(self, number: int, *, gone: bool) -> bool:
        """Whether the battle's trajectory was found, or cannot come any more.

        Args:
            gone: whether the process has ended.
        """
        self.gather()
        expected = self._expected[number]
        late = time.monotonic() > expected.since + PATIENCE_SECONDS
        return expected.final or gone or late

    def take(self, number: int) -> tuple[Recorded | None, str | None]:
        """The battle's trajectory, and a remark for the user."""
        expected = self._expected.pop(number)
        if not expected.final or (expected.found is None and expected.remark is None):
            return None, "it wrote no trajectory of a battle: the one recorded on the server is used instead"
        return expected.found, expected.remark

    def gather(self) -> None:
        """Reads and removes the files that were written since the last call."""
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
        results = {name.result, *self._logged(metamon_files.record_id(name.record))}
        if results != {expected.result}:
            logged = " and ".join(sorted(results))
            expected.remark = f"it recorded {logged} for a battle whose result is {expected.result} on the server"
        outline = outline_of(document)
        if outline.unreadable is not None:
            expected.remark = f"a trajectory that it wrote cannot be read: {outline.unreadable}"
            return
        frame = lz4.frame.compress(document)
        expected.found = Recorded(frame, len(document), outline, expected.invalid_steps, "recorded by the agent")

    def _logged(self, record: str) -> set[str]:
        """The results of a battle in battle logs."""
        results = set()
        for path in self._folder.rglob("battle_log_*.csv"):
            try:
                rows = [row for row in metamon_files.read_battle_log(path) if not isinstance(row, str)]
            except BrokenFileError:
                continue
            results |= {row.result for row in rows if row.record == record}
        return results
