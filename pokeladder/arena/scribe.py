"""A process that makes both sides' trajectories of a battle from its input log, whoever played it and wherever.

Started by :class:`Scribe` with an inherited connection; it ends when that is closed.
"""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from pokeladder.agents import BUILT_IN, Agent
from pokeladder.arena.players import build_player
from pokeladder.arena.seat import Seat
from pokeladder.records import SIDES, Recorded
from pokeladder.simulator.process import Inquiry
from pokeladder.simulator.setup import Simulator

NAMES = ("player 1", "player 2")
# It finds the same modules as this process, whatever folder it runs in.
SCRIBE = "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); from pokeladder.arena.scribe import main; main()"


@dataclass(frozen=True)
class Story:
    """A battle to write down.

    Attributes:
        number: what to call it in the answer.
        invalid_steps: of each side, the steps at which it had no legal choice to offer at first.
    """

    number: int
    format_id: str
    gen: int
    input_log: str
    invalid_steps: tuple[Sequence[int], Sequence[int]]


@dataclass(frozen=True)
class Written:
    """What has come of a story: both trajectories and how many steps each side took; None where it could not be."""

    number: int
    trajectories: tuple[Recorded | None, Recorded | None]
    steps: tuple[int, int] | None


class Scribe:
    """A running process that writes stories down, one after the other.

    Args:
        log: where what it says goes.
    """

    def __init__(self, simulator: Simulator, log: Path) -> None:
        ours, theirs = socket.socketpair()
        with theirs, log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", SCRIBE, json.dumps(sys.path), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A Ctrl-C in the terminal is for the process that keeps the store.
                start_new_session=True,
            )
        self.connection = Connection(ours.detach())
        self.connection.send(simulator)

    def write(self, story: Story) -> None:
        """Hands a story over; if the process is gone, :meth:`read` says so."""
        try:
            self.connection.send(story)
        except OSError:
            return

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


class _Desk:
    def __init__(self, inquiry: Inquiry) -> None:
        self._inquiry = inquiry
        self._agent = Agent("random", BUILT_IN["random"])

    def write(self, story: Story) -> Written:
        told = self._inquiry.retell(story.input_log, *NAMES)
        tag = f"battle-{story.format_id}-{story.number}"
        seats = [
            Seat(side, name, build_player(self._agent, story.format_id, name), tag, story.gen, [], 0, record=True)
            for side, name in zip(SIDES, NAMES, strict=True)
        ]
        for *lines, chosen, p1_request, p2_request, loser in told:
            for seat, said, request, choice, invalid in zip(
                seats, lines, (p1_request, p2_request), chosen, story.invalid_steps, strict=True
            ):
                if seat.side == loser:
                    seat.give_up()
                seat.read(said, request, choice)
                if seat.deciding and seat.steps - 1 in invalid:
                    seat.count_invalid()
        for seat in seats:
            seat.finish()
        p1, p2 = seats
        return Written(story.number, (p1.recorded(), p2.recorded()), (p1.steps, p2.steps))


def main() -> None:
    connection = Connection(int(sys.argv[1]))
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    with Inquiry(connection.recv()) as inquiry:
        desk = _Desk(inquiry)
        while True:
            try:
                story: Story = connection.recv()
            except EOFError:
                return
            try:
                written = desk.write(story)
            except Exception:
                logging.exception("battle %d could not be written down", story.number)
                written = Written(story.number, (None, None), None)
            connection.send(written)
