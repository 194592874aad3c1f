"""How far a run is."""

from __future__ import annotations

from dataclasses import dataclass

from pokeladder.runs.monitor import Use


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        scheduled: battles that the run is to have.
        stored: those on disk, from earlier sessions too.
        played: those stored in this session.
        void: void battles of this session.
        unrecorded: trajectories of this session's battles that were wanted and could not be made.
        seconds: since this session's first battle was started.
        use: what the run takes of the disk and of the memory.
        drawn_seed: the seed, if it was drawn and not asked for.
    """

    run_id: str
    scheduled: int
    stored: int
    played: int
    void: int
    unrecorded: int
    seconds: float
    use: Use
    drawn_seed: int | None = None

    @property
    def disk_expected(self) -> int | None:
        """Bytes that the run's files will have at its end; None until there is something to go by."""
        return self.use.disk * self.scheduled // self.stored if self.stored else None
