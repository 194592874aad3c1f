"""A process that makes both sides' trajectories of a battle from its input log, whoever played it and wherever.

Started by :class:`pokeladder.play.server.trajectory_collector.Scribe` with an inherited connection; it ends when that
is closed.
"""

from __future__ import annotations

import logging
import sys
from multiprocessing.connection import Connection

from poke_env.player import Player

from pokeladder.agents.specs import BUILT_IN, Agent
from pokeladder.play import logs as quiet
from pokeladder.play.dex import learn
from pokeladder.play.embedded.players import build_player
from pokeladder.play.embedded.side import Seat
from pokeladder.play.messages import Story, Written
from pokeladder.records import SIDES
from pokeladder.simulator.process import Inquiry

NAMES = ("player 1", "player 2")
# It is asked nothing.
LOOKER_ON = Agent("random", BUILT_IN["random"])


class _Teller:
    def __init__(self, inquiry: Inquiry) -> None:
        self._inquiry = inquiry
        self._players: dict[str, list[Player]] = {}

    def write(self, story: Story) -> Written:
        told = self._inquiry.retell(story.input_log, *NAMES)
        if story.format_id not in self._players:
            learn(story.gen, self._inquiry.additions(story.format_id))
            self._players[story.format_id] = [build_player(LOOKER_ON, story.format_id, name) for name in NAMES]
        tag = f"battle-{story.format_id}-{story.number}"
        seats = [
            Seat(side, player.username, player, tag, story.gen, [], 0, record=True)
            for side, player in zip(SIDES, self._players[story.format_id], strict=True)
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
            seat.leave()
        p1, p2 = seats
        return Written(story.number, (p1.recorded(), p2.recorded()), (p1.unrecorded, p2.unrecorded))


def main() -> None:
    connection = Connection(int(sys.argv[1]))
    quiet.begin()
    with Inquiry(connection.recv()) as inquiry:
        teller = _Teller(inquiry)
        while True:
            try:
                story: Story = connection.recv()
            except EOFError:
                return
            try:
                written = teller.write(story)
            except Exception as error:
                logging.exception("battle %d could not be written down", story.number)
                reason = f"{type(error).__name__}: {error}"
                written = Written(story.number, (None, None), (reason, reason))
            connection.send(written)
