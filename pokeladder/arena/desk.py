"""Where battles that a server has reported wait for their trajectories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pokeladder.arena.messages import Notice, Play, Rules, Story, Written
from pokeladder.arena.pool import HOPELESS
from pokeladder.arena.sessions import Session
from pokeladder.arena.verdicts import reported, unrecorded
from pokeladder.errors import SimulatorError
from pokeladder.processes import last_words, start
from pokeladder.records import Recorded, Result
from pokeladder.simulator.setup import Simulator


@dataclass
class _Ended:
    play: Play
    session: Session
    room: str
    record: Mapping[str, Any]
    written: Written | None = None


class Scribe:
    """A running process that writes stories down, one after the other.

    Args:
        log: where what it says goes.
    """

    def __init__(self, simulator: Simulator, log: Path) -> None:
        self.log = log
        self._process, end = start("pokeladder.arena.scribe", log=log)
        self.connection = Connection(end.detach())
        self.send(simulator)

    def send(self, message: Simulator | Story) -> None:
        """Hands over the simulator, or a story; if the process is gone, :meth:`read` says so."""
        with suppress(OSError):
            self.connection.send(message)

    def read(self) -> Written:
        """The next story that is written.

        Raises:
            EOFError: the process is gone.
        """
        try:
            written: Written = self.connection.recv()
        except OSError as error:
            raise EOFError from error
        return written

    def end(self) -> None:
        self.connection.close()
        self._process.kill()
        self._process.wait()


class Desk:
    """Completes results: with trajectories that agents leave, and else with those that scribes make of input logs.

    Args:
        scribes: how many processes; 0 for no trajectories but the agents' own.
    """

    def __init__(self, simulator: Simulator, rules: Rules, scribes: int, log_folder: Path) -> None:
        self._simulator = simulator
        self._rules = rules
        self._log_folder = log_folder
        self._waiting: dict[int, _Ended] = {}
        self._deaths_in_a_row = 0
        self._scribes: list[Scribe] = []
        try:
            for number in range(scribes):
                self._scribes.append(self._start(number))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for scribe in self._scribes:
            scribe.end()
        self._scribes = []

    @property
    def connections(self) -> list[Connection]:
        """To wait on; each that can be read is to be given to :meth:`hear`."""
        return [scribe.connection for scribe in self._scribes]

    def busy(self, session: Session | None = None) -> bool:
        """Whether a battle, of this session, waits."""
        return any(session is None or ended.session is session for ended in self._waiting.values())

    def take(self, play: Play, session: Session, room: str, record: Mapping[str, Any]) -> None:
        """Takes in a battle that is over, in the order in which battles end."""
        index = play.game.index
        ended = self._waiting[index] = _Ended(play, session, room, record)
        for outbox in session.outboxes.values():
            outbox.expect(index, record)
        if self._scribes and record["input_log"] is not None:
            p1_invalid, p2_invalid = record["invalid"]
            story = Story(index, self._rules.format_id, self._rules.gen, record["input_log"], (p1_invalid, p2_invalid))
            self._scribes[index % len(self._scribes)].send(story)
        else:
            reason = "the server has no input log of it" if self._scribes else None
            ended.written = Written(index, (None, None), (reason, reason))

    def hear(self, connection: Connection) -> Iterator[Notice]:
        """Reads what a scribe has written.

        Raises:
            SimulatorError: scribes have died as often as workers may, with nothing written in between.
        """
        which = self.connections.index(connection)
        try:
            written = self._scribes[which].read()
        except EOFError:
            self._scribes[which].end()
            self._deaths_in_a_row += 1
            if self._deaths_in_a_row >= HOPELESS:
                log = self._scribes[which].log
                raise SimulatorError(
                    f"{HOPELESS} processes that write trajectories died in a row{last_words(log)}; the whole log is "
                    f"{log}; --no-trajectories plays without them"
                ) from None
            self._scribes[which] = self._start(which)
            yield Notice("a process that writes trajectories died: those of the battles that it had are missing")
            for index, ended in self._waiting.items():
                if ended.written is None and index % len(self._scribes) == which:
                    reason = "the process that writes it died"
                    ended.written = Written(index, (None, None), (reason, reason))
        else:
            self._deaths_in_a_row = 0
            self._waiting[written.number].written = written

    def finished(self) -> Iterator[Result | Notice]:
        """The battles for which nothing more is to come."""
        for index, ended in list(self._waiting.items()):
            outboxes = ended.session.outboxes
            gone = all(guest.status() is not None for guest in ended.session.guests)
            if ended.written is None or not all(outbox.ready(index, gone=gone) for outbox in outboxes.values()):
                continue
            del self._waiting[index]
            trajectories: list[Recorded | None] = list(ended.written.trajectories)
            missing = list(ended.written.unrecorded)
            for user, outbox in outboxes.items():
                left, remark = outbox.take(index)
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
            yield reported(ended.play, ended.room, ended.record, p1, (trajectories[0], trajectories[1]), lost)

    def _start(self, number: int) -> Scribe:
        return Scribe(self._simulator, self._log_folder / f"scribe-{number}.log")
