"""The pool of workers on the nodes of a Ray cluster, which are replaced when they or their nodes are lost.

Ray finds the nodes, places the workers, sends messages and reports deaths. Each worker has a pool of one process, so
that misbehaving agents and simulators are handled as on one machine.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import count
from math import ceil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cloudpickle

from pokeladder.errors import AgentError, PokeladderError, SimulatorError
from pokeladder.play.embedded.pool import TICK_SECONDS, WorkerPool
from pokeladder.play.messages import Attempt, Job
from pokeladder.play.results import aborted
from pokeladder.records import Notice, Result
from pokeladder.simulator.setup import ensure_simulator
from pokeladder.system.scratch import Scratch

INSTALL_RAY = "pip install 'pokeladder[ray]'"
# Seconds of a turn, at whose end results are returned. Results of a lost node's unfinished turn are played again.
TURN_SECONDS = 1.0
# Seconds between looks for new nodes and lost workers.
HIRE_SECONDS = 2.0
# Seconds to wait after a worker has failed to start.
PAUSE_SECONDS = 30.0
CONNECT_SECONDS = 10.0
# Seconds after which a worker that has not ended its turn counts as lost.
SILENT_SECONDS = 120.0
IMPATIENT_SECONDS = 20.0
# Longer than the time limits of setting up the simulator and making agents.
STRANDED_SECONDS = 1500.0
PARTING_SECONDS = 5.0


@dataclass(frozen=True)
class _TurnReport:
    """The report of a worker at the end of its turn.

    Attributes:
        unsettled: the present attempts at games that the worker still has.
        ready: whether it has made its agents.
        said: output of its process since the last turn.
        error: the error after which it has stopped; None if it goes on.
    """

    node: str
    node_id: str
    events: list[Result | Notice]
    unsettled: list[Attempt]
    ready: bool
    said: bytes
    error: PokeladderError | None


class RayWorker:
    """The actor that plays games on a node.

    Args:
        job: the pickled settings, with the sender's simulator; pickled, since a node may lack the agents' modules.
        sender: versions that the sender has installed.
        log: the sender's log of this worker.
    """

    def __init__(self, job: bytes, slots: int, sender: str, log: str) -> None:
        self._job = job
        self._slots = slots
        self._sender = sender
        self._kept_log = log
        self._scratch = Scratch()
        self._log = self._scratch.folder / "worker-0.log"
        self._read = 0
        self._pool: WorkerPool | None = None

    def begin(self) -> _TurnReport:
        """Sets up the simulator of the node if needed, and starts the process."""
        try:
            try:
                job: Job = cloudpickle.loads(self._job)
            except Exception as error:
                raise AgentError(
                    f"an agent could not be loaded: {type(error).__name__}: {error}; "
                    "agents' modules must be importable on every node"
                ) from error
            simulator = ensure_simulator()
            found = _versions(simulator.version)
            if found != self._sender:
                raise SimulatorError(
                    f"it has {found}, but the run needs {self._sender}: install the same versions on all nodes"
                )
            self._pool = WorkerPool(replace(job, simulator=simulator), 1, self._slots, self._log.parent)
        except PokeladderError as error:
            return self._report([], error)
        return self._report([])

    def turn(self, games: list[Attempt]) -> _TurnReport:
        """Plays games until the end of the turn, or until none is left."""
        assert self._pool is not None
        until = time.monotonic() + TURN_SECONDS
        events: list[Result | Notice] = []
        self._pool.add(games)
        try:
            while time.monotonic() < until and (self._pool.busy() or not self._pool.ready()):
                # Results before the error are kept.
                events.extend(filter(None, self._pool.step()))
        except PokeladderError as error:
            return self._report(events, error)
        return self._report(events)

    def end(self) -> None:
        if self._pool is not None:
            self._pool.close()
        self._scratch.close()

    def _report(self, events: list[Result | Notice], error: PokeladderError | None = None) -> _TurnReport:
        import ray

        node, pool = socket.gethostname(), self._pool
        told = error and type(error)(f"node {node}: {error}".replace(str(self._log), self._kept_log))
        unsettled, ready = (pool.unsettled(), pool.ready()) if pool is not None else ([], False)
        report = _TurnReport(
            node, ray.get_runtime_context().get_node_id(), events, unsettled, ready, self._new_words(), told
        )
        if error is not None:
            self.end()
        return report

    def _new_words(self) -> bytes:
        try:
            with self._log.open("rb") as log:
                log.seek(self._read)
                said = log.read()
        except OSError:
            return b""
        self._read += len(said)
        return said


@dataclass(eq=False)
class _Worker:
    log: Path
    number: int
    actor: Any
    turn: Any
    asked: float
    node: str = ""
    node_id: str = ""
    ready: bool = False
    settled: int = 0
    playing: dict[int, tuple[Attempt, datetime]] = field(default_factory=dict)


class RayPool:
    """Plays games on a Ray cluster; an :class:`~pokeladder.play.arena.Arena`.

    Args:
        job: the settings of the workers.
        address: address for ``ray.init``: ``auto``, ``HOST:PORT`` or ``ray://HOST:PORT``.
        workers: number of workers, each on a CPU; None for all CPUs of the cluster, including nodes that join later.
        parallel: number of battles at once in all; None for ``slots`` in each worker.
        log_folder: folder for the logs of the workers.

    Raises:
        SimulatorError: Ray is not installed, or the cluster cannot be reached.
    """

    def __init__(
        self, job: Job, address: str, workers: int | None, parallel: int | None, slots: int, log_folder: Path
    ) -> None:
        self._job = cloudpickle.dumps(job)
        self._sender = _versions(job.simulator.version)
        self._address = address
        self._ray, self._connected = _connect(address)
        self._most = workers
        self._slots = slots
        if parallel is not None:
            self._slots = ceil(parallel / min(workers or max(1, self._cpus()), parallel))
            self._most = ceil(parallel / self._slots)
        self._log_folder = log_folder
        self._workers: list[_Worker] = []
        self._waiting: deque[Attempt] = deque()
        self._hire_due = self._heard = time.monotonic()

    def __enter__(self) -> RayPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        ended = [worker.actor.end.remote() for worker in self._workers if worker.node]
        if ended:
            self._ray.wait(ended, num_returns=len(ended), timeout=PARTING_SECONDS)
        for worker in self._workers:
            self._ray.kill(worker.actor)
        self._workers = []
        if self._connected:
            self._ray.shutdown()

    def play(self, games: Iterable[Attempt]) -> Iterator[Result | Notice | None]:
        """Yields each result when it is there, notices, and None every quarter of a second.

        A void result is followed by another attempt, as in :meth:`WorkerPool.play`. Battles of a lost worker or node
        are void.

        Raises:
            AgentError: an agent cannot be loaded or made in time, and no other worker can play.
            SimulatorError: the simulator cannot be used and no other worker can play, or no worker could be started for
                25 minutes.
        """
        self._waiting.extend(games)
        self._heard = time.monotonic()
        next_tick = self._heard + TICK_SECONDS
        while self._waiting or any(worker.playing for worker in self._workers):
            self._hire()
            for worker in self._workers:
                if worker.turn is None:
                    self._feed(worker)
            patience = max(0.0, next_tick - time.monotonic())
            turns = {worker.turn: worker for worker in self._workers if worker.turn is not None}
            if not turns:
                time.sleep(patience)
            for turn in self._ray.wait(list(turns), timeout=patience)[0] if turns else ():
                yield from self._receive(turns[turn])
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + TICK_SECONDS
                yield from self._look_after()
                yield None

    def _cpus(self) -> int:
        return int(self._ray.cluster_resources().get("CPU", 0))

    def _hire(self) -> None:
        now = time.monotonic()
        if now < self._hire_due:
            return
        self._hire_due = now + HIRE_SECONDS
        games = len(self._waiting) + sum(len(worker.playing) for worker in self._workers)
        wanted = min(self._cpus() if self._most is None else self._most, games)
        if len(self._workers) >= wanted:
            return
        actor = self._ray.remote(num_cpus=1, max_restarts=0, scheduling_strategy="SPREAD")(RayWorker)
        taken = {worker.number for worker in self._workers}
        free = (number for number in count() if number not in taken)
        for _ in range(wanted - len(self._workers)):
            number = next(free)
            log = self._log_folder / f"worker-{number}.log"
            ray_worker = actor.remote(self._job, self._slots, self._sender, str(log))
            self._workers.append(_Worker(log, number, ray_worker, ray_worker.begin.remote(), now))

    def _feed(self, worker: _Worker) -> None:
        """Starts a worker's next turn, with more games than it can finish in it."""
        ready = [one for one in self._workers if one.ready]
        games = len(self._waiting) + sum(len(one.playing) for one in ready)
        # Not more than its share, so that all workers end at about the same time.
        wanted = min(2 * self._slots + worker.settled, ceil(games / max(1, len(ready)))) if worker.ready else 0
        given = [self._waiting.popleft() for _ in range(min(wanted - len(worker.playing), len(self._waiting)))]
        worker.playing |= {attempt.game.index: (attempt, datetime.now(UTC)) for attempt in given}
        if worker.playing or not worker.ready:
            worker.turn, worker.asked = worker.actor.turn.remote(given), time.monotonic()

    def _receive(self, worker: _Worker) -> Iterator[Result | Notice]:
        try:
            report: _TurnReport = self._ray.get(worker.turn)
        except self._ray.exceptions.RayTaskError as error:
            yield from self._fail(worker, SimulatorError(f"a worker on the Ray cluster cannot play: {_reason(error)}"))
            return
        except self._ray.exceptions.RayError as error:
            yield from self._bury(worker, _reason(error))
            return
        worker.turn = None
        worker.node, worker.node_id, worker.ready = report.node, report.node_id, report.ready
        if report.ready:
            self._heard = time.monotonic()
        if report.said:
            with worker.log.open("ab") as log:
                log.write(report.said)
        before, now = worker.playing, datetime.now(UTC)
        worker.playing = {attempt.game.index: (attempt, now) for attempt in report.unsettled}
        for index, (attempt, started_at) in before.items():
            if index in worker.playing and worker.playing[index][0] == attempt:
                worker.playing[index] = (attempt, started_at)
        worker.settled = sum(isinstance(event, Result) for event in report.events)
        yield from report.events
        if report.error is not None:
            # The report has the state of the games that were begun.
            self._waiting.extend(attempt for attempt, _ in worker.playing.values())
            worker.playing = {}
            yield from self._fail(worker, report.error)

    def _fail(self, worker: _Worker, error: PokeladderError) -> Iterator[Result | Notice]:
        """Dismisses a worker that cannot play, for some time.

        Raises:
            PokeladderError: no other worker can play.
        """
        if not any(other.ready for other in self._workers if other is not worker):
            raise error
        yield Notice(f"{error}; the other workers continue", topic=f"{error}")
        yield from self._dismiss(worker)
        self._hire_due = time.monotonic() + PAUSE_SECONDS

    def _bury(self, worker: _Worker, reason: str) -> Iterator[Result | Notice]:
        gone = {node["NodeID"] for node in self._ray.nodes() if not node["Alive"]}
        if worker.node_id in gone:
            yield Notice(f"node {worker.node} of the Ray cluster was lost: {reason}", topic=worker.node_id)
        else:
            yield Notice(f"a worker{f' on node {worker.node}' if worker.node else ''} was lost: {reason}")
        yield from self._dismiss(worker)

    def _dismiss(self, worker: _Worker) -> Iterator[Result]:
        """Makes the games of a worker void; another one will replace it."""
        # A worker that cannot be reached must not continue.
        self._ray.kill(worker.actor)
        self._workers.remove(worker)
        for attempt, started_at in worker.playing.values():
            yield aborted(attempt, None, "crash", started_at)
            self._waiting.extend(attempt.next(own_failure=True))

    def _look_after(self) -> Iterator[Result | Notice]:
        now = time.monotonic()
        for worker in list(self._workers):
            if worker.node and worker.turn is not None and now > worker.asked + SILENT_SECONDS:
                yield from self._bury(worker, f"it has not answered for {SILENT_SECONDS:g} s")
        silent = now - self._heard
        if silent > STRANDED_SECONDS:
            raise SimulatorError(
                f"no worker could be started on the Ray cluster at {self._address} for {STRANDED_SECONDS / 60:.0f} "
                "minutes: look for free CPUs with `ray status`, and for the state of workers with `ray list actors`"
            )
        if silent > IMPATIENT_SECONDS and not any(worker.node for worker in self._workers):
            yield Notice(f"no CPU is free on the Ray cluster at {self._address} yet: waiting", topic="no CPU is free")


def _versions(showdown: str) -> str:
    return f"pokeladder {version('pokeladder')} with Showdown {showdown}"


def _reason(error: BaseException) -> str:
    """Ray's explanation in one line: the cause of an actor's death, or the last line of a traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return next((line.partition(". ")[0] for line in lines if " because " in line), lines[-1])


def _connect(address: str) -> tuple[Any, bool]:
    """The module ray, and whether this call has connected it."""
    # Ray would print a long report of each death to stdout.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    try:
        import ray
    except ImportError as error:
        raise SimulatorError(f"--ray needs Ray, which is not installed: run {INSTALL_RAY}") from error
    if ray.is_initialized():
        return ray, False
    on_terminate = signal.getsignal(signal.SIGTERM)
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError, ImportError, ray.exceptions.RayError) as error:
        raise SimulatorError(
            f"cannot use the Ray cluster at {address}: {_reason(error).rstrip('.')}; "
            "start one with `ray start --head`, or name another with --ray"
        ) from error
    finally:
        # Ray replaces the signal handlers, and exits.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_terminate)
    return ray, True


def _knock(address: str) -> None:
    """
    Raises:
        OSError: nothing listens at the address; Ray itself would try for minutes.
    """
    parts = urlsplit(address if "://" in address else f"//{address}")
    if parts.hostname and parts.port:
        socket.create_connection((parts.hostname, parts.port), CONNECT_SECONDS).close()
