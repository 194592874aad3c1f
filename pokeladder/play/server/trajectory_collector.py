"""Holds results of a server until their trajectories are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pokeladder import retries
from pokeladder.errors import SimulatorError
from pokeladder.play.messages import Attempt, Reconstructed, ReconstructJob, Rules
from pokeladder.play.results import from_server, unrecorded
from pokeladder.play.server.sessions import Session
from pokeladder.records import Notice, Recorded, Result
from pokeladder.retries import FailuresInARow
from pokeladder.simulator.setup import Simulator
from pokeladder.system.processes import Child, last_words


@dataclass
class _Ended:
    attempt: Attempt
    session: Session
    room: str
    record: Mapping[str, Any]
    reconstructed: Reconstructed | None = None


class TrajectoryCollector:
    """Adds trajectories to results: those that agents have written, otherwise reconstructed ones.

    Args:
        reconstructors: number of processes that reconstruct trajectories; 0 for the agents' own only.
    """

    def __init__(self, simulator: Simulator, rules: Rules, reconstructors: int, log_folder: Path) -> None:
        self._simulator = simulator
        self._rules = rules
        self._log_folder = log_folder
        self._waiting: dict[int, _Ended] = {}
        self._deaths = FailuresInARow(retries.DEATHS)
        self._reconstructors: list[Child] = []
        try:
            for number in range(reconstructors):
                self._reconstructors.append(self._start(number))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for reconstructor in self._reconstructors:
            reconstructor.end()
        self._reconstructors = []

    @property
    def connections(self) -> list[Connection]:
        """Connections to wait on; pass each readable one to :meth:`hear`."""
        return [reconstructor.connection for reconstructor in self._reconstructors]

    def busy(self, session: Session | None = None) -> bool:
        """Whether a battle waits, or one of this session."""
        return any(session is None or ended.session is session for ended in self._waiting.values())

    def take(self, attempt: Attempt, session: Session, room: str, record: Mapping[str, Any]) -> None:
        """Adds an ended battle; battles are added in the order of their ends."""
        index = attempt.game.index
        ended = self._waiting[index] = _Ended(attempt, session, room, record)
        for output in session.outputs.values():
            output.expect(index, record)
        if self._reconstructors and record["input_log"] is not None:
            p1_invalid, p2_invalid = record["invalid"]
            invalid = (p1_invalid, p2_invalid)
            job = ReconstructJob(index, self._rules.format_id, self._rules.gen, record["input_log"], invalid)
            # If the process has ended, reading its connection shows it.
            with suppress(EOFError):
                self._reconstructors[index % len(self._reconstructors)].send(job)
        else:
            reason = "the server has no input log of the battle" if self._reconstructors else None
            ended.reconstructed = Reconstructed(index, (None, None), (reason, reason))

    def hear(self, connection: Connection) -> Iterator[Notice]:
        """Reads a process's trajectories.

        Raises:
            SimulatorError: too many of these processes have died in a row.
        """
        which = self.connections.index(connection)
        try:
            reconstructed: Reconstructed = self._reconstructors[which].receive()
        except EOFError:
            self._reconstructors[which].end()
            if self._deaths.add():
                log = self._log(which)
                raise SimulatorError(
                    f"{retries.DEATHS} processes that reconstruct trajectories died in a row{last_words(log)}; the log "
                    f"is {log}; --no-trajectories plays without them"
                ) from None
            self._reconstructors[which] = self._start(which)
            yield Notice("a process that reconstructs trajectories died: those of its battles are missing")
            for index, ended in self._waiting.items():
                if ended.reconstructed is None and index % len(self._reconstructors) == which:
                    reason = "the process that reconstructed it died"
                    ended.reconstructed = Reconstructed(index, (None, None), (reason, reason))
        else:
            self._deaths.reset()
            self._waiting[reconstructed.number].reconstructed = reconstructed

    def finished(self) -> Iterator[Result | Notice]:
        """The results whose trajectories are complete, or cannot come."""
        for index, ended in list(self._waiting.items()):
            outputs = ended.session.outputs
            gone = all(process.status() is not None for process in ended.session.processes)
            if ended.reconstructed is None or not all(output.ready(index, gone=gone) for output in outputs.values()):
                continue
            del self._waiting[index]
            trajectories: list[Recorded | None] = list(ended.reconstructed.trajectories)
            missing = list(ended.reconstructed.unrecorded)
            for user, output in outputs.items():
                left, remark = output.take(index)
                if remark is not None:
                    agent = ended.session.agent_of(user)
                    yield Notice(f"agent {agent}: {remark}", topic=f"{agent} {remark}")
                if left is not None and self._rules.record_trajectories:
                    which = ended.record["users"].index(user)
                    trajectories[which], missing[which] = left, None
            for user, reason in zip(ended.record["users"], missing, strict=True):
                if reason is not None:
                    agent = ended.session.agent_of(user)
                    wrong, why = unrecorded(index, reason)
                    yield Notice(f"agent {agent} {wrong}: {why}", topic=f"{agent} {wrong}")
            p1 = ended.session.agent_of(ended.record["users"][0])
            lost = sum(reason is not None for reason in missing)
            yield from_server(ended.attempt, ended.room, ended.record, p1, (trajectories[0], trajectories[1]), lost)

    def _log(self, number: int) -> Path:
        return self._log_folder / f"reconstruct-{number}.log"

    def _start(self, number: int) -> Child:
        process = Child("pokeladder.play.server.reconstruct", log=self._log(number))
        # If the process has ended, reading its connection shows it.
        with suppress(EOFError):
            process.send(self._simulator)
        return process
