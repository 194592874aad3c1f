"""A few bytes of memory through which a worker process shows whose decision it is waiting for."""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import time
from dataclasses import dataclass

from pokeladder.records import SIDES, Side

_LAYOUT = struct.Struct("=dqq")


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision under way: in which game, by which side, and when it should be over (seconds, monotonic clock)."""

    game: int
    side: Side
    deadline: float


class Pulse:
    """Shared by a worker, which writes, and the process that watches it, which reads.

    Reading needs no help of the worker, so it works while the worker is stuck and after it died.
    """

    def __init__(self, file: int | None = None) -> None:
        if file is None:
            with tempfile.TemporaryFile() as fresh:
                fresh.write(bytes(_LAYOUT.size))
                fresh.flush()
                self.file = os.dup(fresh.fileno())
        else:
            self.file = file
        self._memory = mmap.mmap(self.file, _LAYOUT.size)

    def begin(self, game: int, side: Side, seconds: float) -> None:
        _LAYOUT.pack_into(self._memory, 0, time.monotonic() + seconds, game, SIDES.index(side))

    def end(self) -> None:
        _LAYOUT.pack_into(self._memory, 0, 0.0, 0, 0)

    def read(self) -> Decision | None:
        deadline, game, side = _LAYOUT.unpack_from(self._memory, 0)
        return Decision(game, SIDES[side], deadline) if deadline else None

    def close(self) -> None:
        self._memory.close()
        os.close(self.file)
