"""A few bytes of memory through which a worker process shows that it is alive, and whose decision it waits for."""

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
    """A decision under way: in which game, by which side, and when it should be over (seconds, monotonic clock)."""

    game: int
    side: Side
    deadline: float


class Heartbeat:
    """Shared by a worker, which writes, and the process that watches it, which reads.

    Reading needs no help of the worker, so it works while the worker is stuck and after it died.
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
        # Before the decision is taken out: between two long ones the event loop need not turn.
        self.beat()
        _DECISION.pack_into(self._memory, 0, 0.0, 0, 0)

    def beat(self) -> None:
        """Says that the worker's event loop is turning, or a decision over."""
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
