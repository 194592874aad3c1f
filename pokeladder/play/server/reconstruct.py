"""A process that makes the trajectories of battles from their input logs.

:class:`~pokeladder.play.server.trajectory_collector.TrajectoryCollector` starts it with a connection, and it ends when
that is closed.
"""

from __future__ import annotations

import logging

from poke_env.player import Player

from pokeladder.agents.specs import BUILT_IN, Agent
from pokeladder.play import logs
from pokeladder.play.dex import learn
from pokeladder.play.embedded.players import build_player
from pokeladder.play.embedded.side import BattleSide
from pokeladder.play.messages import Reconstructed, ReconstructJob
from pokeladder.records import SIDES
from pokeladder.simulator.process import Inquiry
from pokeladder.system.processes import Parent

NAMES = ("player 1", "player 2")
# A player that is never asked.
LOOKER_ON = Agent("random", BUILT_IN["random"])


class Rebuilder:
    def __init__(self, inquiry: Inquiry) -> None:
        self._inquiry = inquiry
        self._players: dict[str, list[Player]] = {}

    def rebuild(self, job: ReconstructJob) -> Reconstructed:
        updates = self._inquiry.reconstruct(job.input_log, *NAMES)
        if job.format_id not in self._players:
            learn(job.gen, self._inquiry.additions(job.format_id))
            self._players[job.format_id] = [build_player(LOOKER_ON, job.format_id, name) for name in NAMES]
        tag = f"battle-{job.format_id}-{job.number}"
        sides = [
            BattleSide(side_id, player.username, player, tag, job.gen, [], 0, record=True)
            for side_id, player in zip(SIDES, self._players[job.format_id], strict=True)
        ]
        for *lines, chosen, p1_request, p2_request, loser in updates:
            for side, said, request, choice, invalid in zip(
                sides, lines, (p1_request, p2_request), chosen, job.invalid_steps, strict=True
            ):
                if side.id == loser:
                    side.give_up()
                side.read(said, request, choice)
                if side.deciding and side.steps - 1 in invalid:
                    side.count_invalid()
        for side in sides:
            side.finish()
            side.leave()
        p1, p2 = sides
        return Reconstructed(job.number, (p1.recorded(), p2.recorded()), (p1.unrecorded, p2.unrecorded))


def main() -> None:
    parent = Parent()
    logs.begin()
    messages = parent.messages()
    simulator = next(messages, None)
    if simulator is None:
        return
    with Inquiry(simulator) as inquiry:
        rebuilder = Rebuilder(inquiry)
        for job in messages:
            try:
                reconstructed = rebuilder.rebuild(job)
            except Exception as error:
                logging.exception("trajectories of battle %d could not be made", job.number)
                reason = f"{type(error).__name__}: {error}"
                reconstructed = Reconstructed(job.number, (None, None), (reason, reason))
            parent.send(reconstructed)
