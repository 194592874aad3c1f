"""A process that makes both sides' trajectories of a battle from its input log, whoever played it and wherever.

Started by :class:`pokeladder.arena.desk.Scribe` with an inherited connection; it ends when that is closed.
"""

from __future__ import annotations

import logging
import sys
from multiprocessing.connection import Connection

from pokeladder.agents import BUILT_IN, Agent
from pokeladder.arena.messages import Story, Written
from pokeladder.arena.players import build_player
from pokeladder.arena.seat import Seat
from pokeladder.records import SIDES
from pokeladder.simulator.process import Inquiry

NAMES = ("player 1", "player 2")


class _Teller:
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
        return Written(story.number, (p1.recorded(), p2.recorded()))


def main() -> None:
    connection = Connection(int(sys.argv[1]))
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    with Inquiry(connection.recv()) as inquiry:
        teller = _Teller(inquiry)
        while True:
            try:
                story: Story = connection.recv()
            except EOFError:
                return
            try:
                written = teller.write(story)
            except Exception:
                logging.exception("battle %d could not be written down", story.number)
                written = Written(story.number, (None, None))
            connection.send(written)
