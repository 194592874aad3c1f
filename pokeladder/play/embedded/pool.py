"""The pool of worker processes, which are watched, and replaced when they die."""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import cloudpickle

from pokeladder import retries
from pokeladder.errors import AgentError, SimulatorError
from pokeladder.metamon.policy_servers import PolicyServers
from pokeladder.play.embedded.heartbeat import Heartbeat
from pokeladder.play.messages import Attempt, Failed, Job, Ready
from pokeladder.play.results import aborted
from pokeladder.records import Notice, Result, other
from pokeladder.retries import FailuresInARow
from pokeladder.system.processes import REPEATABLE, Child, last_words

# Seconds by which a worker may exceed the time limit of a decision before it counts as stuck.
GRACE_SECONDS = 5.0
# Agents may load large models.
START_SECONDS = 600.0
# Silence outside of a decision, in seconds, after which a worker counts as stuck.
SILENT_SECONDS = 60.0
TICK_SECONDS = 0.25
# Signals by which the system or a user ends a process, without a fault of an agent.
STOPPED_FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)


@dataclass
class _Worker:
    number: int
    child: Child
    lifeline: int
    heartbeat: Heartbeat
    log: Path
    started: float
    ready: bool = False
    stuck: bool = False
    playing: dict[int, tuple[Attempt, datetime]] = field(default_factory=dict)

    def end(self) -> None:
        """Ends the worker, unless it was ended before."""
        if self.lifeline < 0:
            return
        os.close(self.lifeline)
        self.lifeline = -1
        self.child.end()
        self.heartbeat.close()


class WorkerPool:
    """Plays games in several worker processes; an :class:`~pokeladder.play.arena.Arena`.

    Args:
        job: the settings of the workers.
        workers: number of processes.
        slots: number of battles that each plays at once.
        log_folder: folder for the logs of the workers.
        policy_servers: the policy servers of the agents; closed with the pool.
    """

    def __init__(
        self, job: Job, workers: int, slots: int, log_folder: Path, policy_servers: PolicyServers | None = None
    ) -> None:
        self._job = job
        self._policy_servers = policy_servers or PolicyServers((), job.rules.format_id, log_folder)
        self._slots = slots
        self._log_folder = log_folder
        self._deaths = FailuresInARow(retries.DEATHS)
        self._next_tick = time.monotonic() + TICK_SECONDS
        self._waiting: deque[Attempt] = deque()
        self._workers: list[_Worker] = []
        try:
            for number in range(workers):
                self._workers.append(self._spawn(number))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for worker in self._workers:
            worker.end()
        self._workers = []
        self._policy_servers.close()

    def play(self, games: Iterable[Attempt]) -> Iterator[Result | Notice | None]:
        """Yields each result when it is there, notices, and None every quarter of a second.

        A void result is followed by another attempt at the same game, up to
        :data:`~pokeladder.retries.ATTEMPTS`; attempts caused to be void by another battle's agent are not counted.

        Raises:
            AgentError: an agent cannot be made in time, or its policy server died too often.
            SimulatorError: worker processes died too often.
        """
        self.add(games)
        while self.busy():
            yield from self.step()

    def add(self, games: Iterable[Attempt]) -> None:
        """Appends games to those that wait."""
        self._waiting.extend(games)

    def busy(self) -> bool:
        """Whether games wait or are being played."""
        return bool(self._waiting) or any(worker.playing for worker in self._workers)

    def unsettled(self) -> list[Attempt]:
        """The present attempts at games that wait or are being played."""
        under_way = (attempt for worker in self._workers for attempt, _ in worker.playing.values())
        return [*self._waiting, *under_way]

    def ready(self) -> bool:
        """Whether a worker has made its agents."""
        return any(worker.ready for worker in self._workers)

    def step(self) -> Iterator[Result | Notice | None]:
        """The next events of :meth:`play`, which has the exceptions."""
        for worker in self._workers:
            self._feed(worker)
        connections: list[Any] = [worker.child.connection for worker in self._workers]
        for ready in wait(connections, timeout=max(0.0, self._next_tick - time.monotonic())):
            worker = next(worker for worker in self._workers if worker.child.connection is ready)
            yield from self._receive(worker)
        if time.monotonic() >= self._next_tick:
            self._next_tick = time.monotonic() + TICK_SECONDS
            self._kill_stuck()
            yield from self._policy_servers.look()
            yield None

    def _feed(self, worker: _Worker) -> None:
        while worker.ready and self._waiting and len(worker.playing) < self._slots:
            attempt = self._waiting.popleft()
            worker.playing[attempt.game.index] = (attempt, datetime.now(UTC))
            try:
                worker.child.send(attempt)
            except EOFError:
                return  # reading its connection shows it

    def _receive(self, worker: _Worker) -> Iterator[Result | Notice]:
        try:
            message = worker.child.receive()
        except EOFError:
            yield from self._replace(worker)
            return
        if isinstance(message, Ready):
            worker.ready = True
        elif isinstance(message, Failed):
            raise message.error
        elif isinstance(message, Notice):
            yield message
        elif isinstance(message, Result):
            attempt, _ = worker.playing.pop(message.index)
            if message.outcome == "void":
                self._again(attempt, own_failure=True)
            else:
                self._deaths.reset()
                self._policy_servers.finished()
            yield message

    def _again(self, attempt: Attempt, *, own_failure: bool) -> None:
        # At the end, since the cause of the failure may have passed by then.
        self._waiting.extend(attempt.next(own_failure=own_failure))

    def _kill_stuck(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            if not worker.ready:
                if now > worker.started + START_SECONDS:
                    raise AgentError(
                        f"the agents were not built within {START_SECONDS / 60:.0f} minutes{last_words(worker.log)}; "
                        f"their output is in {worker.log}"
                    )
                continue
            decision = worker.heartbeat.decision()
            if decision is not None and now > decision.deadline + GRACE_SECONDS:
                worker.stuck = True
                worker.child.kill()
            elif decision is None and worker.heartbeat.silence() > SILENT_SECONDS:
                worker.child.kill()

    def _replace(self, worker: _Worker) -> Iterator[Result | Notice]:
        """Yields the results of a dead worker's games, and starts another worker.

        An agent that ended the process, by a crash or by a decision that could not be interrupted, loses the battle of
        that decision. The others are played again without counting the attempt: each crash ends one battle.
        """
        decision = worker.heartbeat.decision()
        worker.end()
        status = worker.child.status()
        hopeless = False
        culprit = decision if worker.stuck or status not in STOPPED_FROM_OUTSIDE else None
        if culprit is not None and culprit.game in worker.playing:
            attempt, started_at = worker.playing.pop(culprit.game)
            agent = attempt.game.p1 if culprit.side == "p1" else attempt.game.p2
            did = "did not answer and could not be interrupted" if worker.stuck else "ended its process"
            yield Notice(f"agent {agent} {did} (exit status {status}{last_words(worker.log)}): it loses that battle")
            yield aborted(attempt, other(culprit.side), "timeout" if worker.stuck else "agent_crash", started_at)
        else:
            hopeless = self._deaths.add()
            yield Notice(f"a worker process died (exit status {status}{last_words(worker.log)})")
        for attempt, started_at in worker.playing.values():
            yield aborted(attempt, None, "crash", started_at)
            self._again(attempt, own_failure=culprit is None)
        if hopeless:
            raise SimulatorError(
                f"{retries.DEATHS} worker processes died in a row, the last with exit status {status}"
                f"{last_words(worker.log)}; its log is {worker.log}"
            )
        self._workers[self._workers.index(worker)] = self._spawn(worker.number)

    def _spawn(self, number: int) -> _Worker:
        lifeline_end, lifeline = os.pipe()
        heartbeat = Heartbeat()
        path = self._log_folder / f"worker-{number}.log"
        shared = (lifeline_end, heartbeat.file)
        child = Child("pokeladder.play.embedded.worker", log=path, inherited=shared, environment=REPEATABLE)
        os.close(lifeline_end)
        worker = _Worker(number, child, lifeline, heartbeat, path, time.monotonic())
        job = replace(self._job, agents=(*self._job.agents, *self._policy_servers.agents_for(number)))
        # If the process has ended, reading its connection shows it.
        with suppress(EOFError):
            # Agents may be defined in modules that only this process has.
            worker.child.send(cloudpickle.dumps(job))
        return worker
