"""Worker processes: started, fed with games, watched, and replaced when they die."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import cloudpickle

from pokeladder.arena.hosts import Hosts
from pokeladder.arena.messages import Failed, Job, Notice, Play, Ready
from pokeladder.arena.pulse import Pulse
from pokeladder.arena.verdicts import unplayed
from pokeladder.errors import AgentError, SimulatorError
from pokeladder.processes import REPEATABLE, last_words, start
from pokeladder.records import Result, other

ATTEMPTS = 5
# A worker may overrun a turn's time limit by this much before it is taken for stuck.
GRACE_SECONDS = 5.0
# Building agents may mean loading large models.
START_SECONDS = 600.0
# A worker whose event loop has stood still for so long, in nobody's decision, does not come back.
SILENT_SECONDS = 60.0
TICK_SECONDS = 0.25
# How the system, or a person, ends a process that did nothing wrong.
STOPPED_FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)
# Deaths in a row, with no battle finished between them, after which there is no point in going on.
HOPELESS = 5


@dataclass
class _Worker:
    number: int
    process: subprocess.Popen[bytes]
    connection: Connection
    lifeline: int
    pulse: Pulse
    log: Path
    started: float
    ready: bool = False
    stuck: bool = False
    playing: dict[int, tuple[Play, datetime]] = field(default_factory=dict)

    def end(self) -> None:
        """Ends it; nothing more to do if it has been ended before."""
        if self.lifeline < 0:
            return
        self.connection.close()
        os.close(self.lifeline)
        self.lifeline = -1
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.pulse.close()


class Pool:
    """Plays games on several worker processes; a context manager that leaves no process behind.

    Args:
        job: what the workers need to know.
        workers: how many processes.
        slots: how many battles each plays at once.
        log_folder: where each worker's stdout and stderr go.
        hosts: of agents whose policies have processes of their own; closed with the pool.
    """

    def __init__(self, job: Job, workers: int, slots: int, log_folder: Path, hosts: Hosts | None = None) -> None:
        self._job = job
        self._hosts = hosts or Hosts((), job.rules.format_id, log_folder)
        self._slots = slots
        self._log_folder = log_folder
        self._deaths_in_a_row = 0
        self._next_tick = time.monotonic() + TICK_SECONDS
        self._waiting: deque[Play] = deque()
        self._workers: list[_Worker] = []
        try:
            for number in range(workers):
                self._workers.append(self._spawn(number))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for worker in self._workers:
            worker.end()
        self._workers = []
        self._hosts.close()

    def play(self, games: Iterable[Play]) -> Iterator[Result | Notice | None]:
        """Yields every result as it comes, notices between them, and None every quarter of a second.

        A void result is followed by another attempt at the same game, up to :data:`ATTEMPTS` in all, those that were
        spoilt by some other game's agent not counted.

        Raises:
            AgentError: an agent cannot be built, or takes too long for it, or its policy process keeps dying.
            SimulatorError: the processes keep dying.
        """
        self.add(games)
        while self.busy():
            yield from self.step()

    def add(self, games: Iterable[Play]) -> None:
        """Games to play, after those that are waiting."""
        self._waiting.extend(games)

    def busy(self) -> bool:
        """Whether there are games that are waiting or under way."""
        return bool(self._waiting) or any(worker.playing for worker in self._workers)

    def unsettled(self) -> list[Play]:
        """The games that are waiting or under way, each with the attempt that it is at."""
        under_way = (play for worker in self._workers for play, _ in worker.playing.values())
        return [*self._waiting, *under_way]

    def ready(self) -> bool:
        """Whether a worker has built its agents."""
        return any(worker.ready for worker in self._workers)

    def step(self) -> Iterator[Result | Notice | None]:
        """What comes next of that which :meth:`play` yields; raises what it raises."""
        for worker in self._workers:
            self._feed(worker)
        connections: list[Any] = [worker.connection for worker in self._workers]
        for ready in wait(connections, timeout=max(0.0, self._next_tick - time.monotonic())):
            worker = next(worker for worker in self._workers if worker.connection is ready)
            yield from self._receive(worker)
        if time.monotonic() >= self._next_tick:
            self._next_tick = time.monotonic() + TICK_SECONDS
            self._kill_stuck()
            yield from self._hosts.look()
            yield None

    def _feed(self, worker: _Worker) -> None:
        while worker.ready and self._waiting and len(worker.playing) < self._slots:
            play = self._waiting.popleft()
            worker.playing[play.game.index] = (play, datetime.now(UTC))
            try:
                worker.connection.send(play)
            except OSError:
                return  # it died; its connection says so when it is read

    def _receive(self, worker: _Worker) -> Iterator[Result | Notice]:
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._bury(worker)
            return
        if isinstance(message, Ready):
            worker.ready = True
        elif isinstance(message, Failed):
            raise message.error
        elif isinstance(message, Notice):
            yield message
        elif isinstance(message, Result):
            play, _ = worker.playing.pop(message.index)
            if message.outcome == "void":
                self._again(play, blame=1)
            else:
                self._deaths_in_a_row = 0
                self._hosts.finished()
            yield message

    def _again(self, play: Play, blame: int) -> None:
        # At the end: whatever spoils attempts now may be over by then.
        self._waiting.extend(next_attempt(play, blame))

    def _kill_stuck(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            if not worker.ready:
                if now > worker.started + START_SECONDS:
                    raise AgentError(
                        f"the agents were not built within {START_SECONDS / 60:.0f} minutes{last_words(worker.log)}; "
                        f"what they said is in {worker.log}"
                    )
                continue
            decision = worker.pulse.decision()
            if decision is not None and now > decision.deadline + GRACE_SECONDS:
                worker.stuck = True
                worker.process.kill()
            elif decision is None and worker.pulse.silence() > SILENT_SECONDS:
                worker.process.kill()

    def _bury(self, worker: _Worker) -> Iterator[Result | Notice]:
        """Settles the games of a dead worker and puts another in its place.

        An agent that took it down, by a crash or by a decision that nothing could interrupt, loses the battle that it
        was deciding, and the others there are played again as often as it takes: with every crash one battle is over.
        """
        decision = worker.pulse.decision()
        worker.end()
        status = worker.process.returncode
        culprit = decision if worker.stuck or status not in STOPPED_FROM_OUTSIDE else None
        if culprit is not None and culprit.game in worker.playing:
            play, started_at = worker.playing.pop(culprit.game)
            agent = play.game.p1 if culprit.side == "p1" else play.game.p2
            did = "did not answer and could not be interrupted" if worker.stuck else "took its process down"
            yield Notice(f"agent {agent} {did} (exit status {status}{last_words(worker.log)}): it loses that battle")
            yield unplayed(play, other(culprit.side), "timeout" if worker.stuck else "agent_crash", started_at)
        else:
            self._deaths_in_a_row += 1
            yield Notice(f"a worker process died (exit status {status}{last_words(worker.log)})")
        for play, started_at in worker.playing.values():
            yield unplayed(play, None, "crash", started_at)
            self._again(play, blame=culprit is None)
        if self._deaths_in_a_row >= HOPELESS:
            raise SimulatorError(
                f"{HOPELESS} worker processes died in a row, the last with exit status {status}"
                f"{last_words(worker.log)}; the whole log is {worker.log}"
            )
        self._workers[self._workers.index(worker)] = self._spawn(worker.number)

    def _spawn(self, number: int) -> _Worker:
        lifeline_end, lifeline = os.pipe()
        pulse = Pulse()
        path = self._log_folder / f"worker-{number}.log"
        process, end = start(
            "pokeladder.arena.worker", log=path, inherited=(lifeline_end, pulse.file), environment=REPEATABLE
        )
        os.close(lifeline_end)
        worker = _Worker(number, process, Connection(end.detach()), lifeline, pulse, path, time.monotonic())
        job = replace(self._job, agents=(*self._job.agents, *self._hosts.agents_for(number)))
        # If it has died already, its connection says so when it is read.
        with suppress(OSError):
            worker.connection.send_bytes(cloudpickle.dumps(job))
        return worker


def next_attempt(play: Play, blame: int) -> list[Play]:
    """The order to try a game again after a void attempt, unless there were :data:`ATTEMPTS`.

    Args:
        blame: 0 if another game's agent spoilt it, else 1.
    """
    again = Play(play.game, play.attempt + 1, play.blame + blame)
    return [again] if again.blame < ATTEMPTS else []


def default_workers() -> int:
    """One process a core that this one may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
