"""A player that asks a policy server, which answers for the battles of many worker processes."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from itertools import count
from multiprocessing.connection import Client, Connection
from typing import Any

from poke_env.battle import AbstractBattle
from poke_env.player import Player
from poke_env.player.battle_order import BattleOrder

from pokeladder.agents.batches import decision_seed
from pokeladder.metamon.side.protocol import pack, unpack
from pokeladder.trajectories.observation import Observation

POLL_SECONDS = 0.1


class PolicyPlayer(Player):
    """Sends states to a policy server (see ``policy_server.py``) and plays the actions of its answers.

    It waits until the server has loaded its policy. When the server dies, this process ends, since the server's memory
    of the battles is lost.

    Args:
        address: path of the policy server's socket.
    """

    batch_seconds = 0.002

    def __init__(self, address: str, **settings: Any) -> None:
        super().__init__(**settings)
        self._connection = _connect(address)
        self._connection.recv_bytes()
        self._numbers = count()
        self._slots: dict[AbstractBattle, int] = {}
        self._asked: dict[int, asyncio.Future[int]] = {}
        asyncio.get_running_loop().add_reader(self._connection.fileno(), self._receive)

    def choose_move(self, battle: AbstractBattle) -> BattleOrder:
        raise NotImplementedError

    def battle_began(self, battle: AbstractBattle) -> None:
        self._slots[battle] = next(self._numbers)

    def battle_ended(self, battle: AbstractBattle) -> None:
        self._send("forget", [self._slots.pop(battle)])

    async def choose_positions(self, positions: Sequence[Observation]) -> list[str | None]:
        """A choice for each position; None if the policy could not read it."""
        loop = asyncio.get_running_loop()
        questions, answers, options = [], [], []
        for position in positions:
            slot = self._slots[position.battle]
            if slot in self._asked:
                # The answer was too late. The server takes one question at a time of a slot.
                self._send("forget", [slot])
                del self._asked[slot]
                slot = self._slots[position.battle] = next(self._numbers)
            legal = position.options()
            questions.append((slot, position.state(), sorted(legal), decision_seed(position.battle)))
            self._asked[slot] = loop.create_future()
            answers.append(self._asked[slot])
            options.append(legal)
        self._send("ask", questions)
        chosen = [legal.get(await answer) for legal, answer in zip(options, answers, strict=True)]
        return [choice and f"/choose {choice}" for choice in chosen]

    def _send(self, *message: Any) -> None:
        try:
            self._connection.send_bytes(pack(message))
        except OSError:
            _give_up()

    def _receive(self) -> None:
        try:
            while self._connection.poll():
                _, answers = unpack(self._connection.recv_bytes())
                for slot, action in answers:
                    answer = self._asked.pop(slot, None)
                    if answer is not None and not answer.done():
                        answer.set_result(action)
        except (EOFError, OSError):
            _give_up()


def _connect(address: str) -> Connection:
    # If the server does not start, the parent process ends this one.
    while True:
        try:
            return Client(address, "AF_UNIX")
        except (FileNotFoundError, ConnectionRefusedError):
            time.sleep(POLL_SECONDS)


def _give_up() -> None:
    sys.stderr.write("the policy server has ended\n")
    sys.stderr.flush()
    os._exit(1)
