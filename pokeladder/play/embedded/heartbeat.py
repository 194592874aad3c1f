"""Shared memory through which a worker shows that it is alive, and which decision it waits for."""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import time
from dataclasses import dataclass

from pokeladder.records import SIDES, Side

_DECISION = struct.Struct("=dqq")
_BEAT = struct.Struct("=d")
_SIZE = _DECISION.size + _BEAT.size


@dataclass(frozen=True, slots=True)
class Decision:
    """A running decision: its game and side, and its time limit (seconds on the monotonic clock)."""

    game: int
    side: Side
    deadline: float


class Heartbeat:
    """Written by a worker, and read by the process that watches it.

    It can be read while the worker is stuck, and after its death.
    """

    def __init__(self, file: int | None = None) -> None:
        if file is None:
            with tempfile.TemporaryFile() as fresh:
                fresh.write(bytes(_SIZE))
                fresh.flush()
                self.file = os.dup(fresh.fileno())
        else:
            self.file = file
        self._memory = mmap.mmap(self.file, _SIZE)

    def begin(self, game: int, side: Side, seconds: float) -> None:
        _DECISION.pack_into(self._memory, 0, time.monotonic() + seconds, game, SIDES.index(side))

    def end(self) -> None:
        # First, since between two long decisions the event loop may not run.
        self.beat()
        _DECISION.pack_into(self._memory, 0, 0.0, 0, 0)

    def beat(self) -> None:
        """Records that the worker's event loop runs, or that a decision has ended."""
        _BEAT.pack_into(self._memory, _DECISION.size, time.monotonic())

    def silence(self) -> float:
        """Seconds since the last beat."""
        (beat,) = _BEAT.unpack_from(self._memory, _DECISION.size)
        return time.monotonic() - float(beat)

    def decision(self) -> Decision | None:
        deadline, game, side = _DECISION.unpack_from(self._memory, 0)
        return Decision(game, SIDES[side], deadline) if deadline else None

    def close(self) -> None:
        self._memory.close()
        os.close(self.file)
