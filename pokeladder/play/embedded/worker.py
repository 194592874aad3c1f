"""A worker process, which has agents and simulators, and plays games.

:mod:`pokeladder.play.embedded.pool` starts it with three file descriptors: connection, lifeline and heartbeat. It ends
with its parent.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from multiprocessing.connection import Connection

import cloudpickle
from poke_env.player import Player

from pokeladder.errors import AgentError, PokeladderError
from pokeladder.play import logs
from pokeladder.play.dex import learn
from pokeladder.play.embedded.battles import BattleRunner
from pokeladder.play.embedded.heartbeat import Heartbeat
from pokeladder.play.embedded.players import SelfPlayDouble, batches, build_player
from pokeladder.play.embedded.simulators import Simulators
from pokeladder.play.messages import Attempt, Failed, Job, Ready
from pokeladder.records import Notice, Result

BEAT_SECONDS = 1.0


class _Players:
    """The players of this process, made at first use."""

    def __init__(self, job: Job) -> None:
        self._agents = {agent.name: agent for agent in job.agents}
        self._numbers = {name: number for number, name in enumerate(sorted(self._agents), start=1)}
        self._format = job.rules.format_id
        self._built: dict[tuple[str, bool], Player] = {}

    def __call__(self, name: str, double: bool) -> Player:
        """The player of an agent; with ``double`` a second one for self-play."""
        key = (name, double)
        if key not in self._built:
            username = f"agent {self._numbers[name]}{' twin' if double else ''}"
            if double and batches(self(name, False)):
                self._built[key] = SelfPlayDouble(self(name, False), username)
            else:
                self._built[key] = build_player(self._agents[name], self._format, username)
        return self._built[key]


class _Worker:
    def __init__(self, connection: Connection, heartbeat: Heartbeat, job: Job) -> None:
        self._connection = connection
        self._job = job
        self._heartbeat = heartbeat
        self._stopped = asyncio.Event()
        learn(job.rules.gen, job.rules.additions)
        players = _Players(job)
        for agent in job.agents:
            players(agent.name, False)
        self._simulators = Simulators(
            job.simulator,
            job.simulators,
            receive=lambda message: self._battles.receive(message),
            died=lambda reason: self._send(Notice(f"{reason}: its battles are void and are played again")),
            lost=lambda battles: self._battles.void_those(battles, "crash"),
            failed=lambda error: self._send(Failed(error)),
        )
        self._battles = BattleRunner(job.rules, players, self._simulators.post, self._send, heartbeat)

    async def run(self) -> None:
        await self._simulators.start()
        gc.collect()
        gc.freeze()
        # Battles make many objects and few cycles: the default threshold of 700 objects costs 4% of the time.
        gc.set_threshold(50_000, 20, 20)
        self._heartbeat.beat()
        self._send(Ready())
        watching = asyncio.create_task(self._watch())
        asyncio.get_running_loop().add_reader(self._connection.fileno(), self._read_orders)
        await self._stopped.wait()
        watching.cancel()
        await self._simulators.stop()

    async def _watch(self) -> None:
        """Updates the heartbeat, and watches the simulators."""
        while True:
            self._heartbeat.beat()
            await asyncio.sleep(BEAT_SECONDS)
            await self._simulators.look(self._battles.waiting(), self._battles.battles())

    def _read_orders(self) -> None:
        try:
            while self._connection.poll():
                attempt: Attempt = self._connection.recv()
                self._battles.start(attempt.game, attempt.number)
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(self._connection.fileno())
            self._stopped.set()

    def _send(self, message: Ready | Failed | Result | Notice) -> None:
        try:
            self._connection.send(message)
        except OSError:
            self._stopped.set()


def _end_with_parent(lifeline: int) -> None:
    """Starts a thread that ends this process when the other end of ``lifeline`` is closed."""

    def wait() -> None:
        os.read(lifeline, 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    connection, lifeline, heartbeat = Connection(int(sys.argv[1])), int(sys.argv[2]), Heartbeat(int(sys.argv[3]))
    _end_with_parent(lifeline)
    logs.begin()
    try:
        job: Job = cloudpickle.loads(connection.recv())
    except Exception as error:
        connection.send(Failed(AgentError(f"an agent could not be sent to a worker process: {error}")))
        return

    async def play() -> None:
        await _Worker(connection, heartbeat, job).run()

    try:
        asyncio.run(play())
    except PokeladderError as error:
        connection.send(Failed(error))
