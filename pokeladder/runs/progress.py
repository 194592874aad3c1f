"""Progress of a run."""

from __future__ import annotations

from dataclasses import dataclass

from pokeladder.runs.monitor import Use


@dataclass(frozen=True)
class Progress:
    """Progress of a run.

    Attributes:
        scheduled: number of battles in the schedule.
        stored: number of stored battles, including those of earlier sessions.
        played: number of battles stored in this session.
        void: number of void battles of this session.
        unrecorded: number of trajectories of this session that could not be recorded.
        seconds: seconds since the start of this session's first battle.
        use: disk space and memory.
        drawn_seed: the seed, if it was drawn.
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
        """Expected size of the run's files in bytes; None before the first measurement."""
        return self.use.disk * self.scheduled // self.stored if self.stored else None
