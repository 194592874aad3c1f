"""A worker process: agents and simulators, playing the games that it is sent.

Started by :mod:`pokeladder.arena.pool` with three inherited file descriptors: connection, lifeline, pulse. It never
outlives the process that started it.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import threading
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle
from poke_env.player import Player

from pokeladder.arena.messages import Failed, Job, Notice, Play, Ready
from pokeladder.arena.players import Twin, batches, build_player
from pokeladder.arena.pulse import Pulse
from pokeladder.arena.referee import Referee
from pokeladder.errors import AgentError, PokeladderError, SimulatorError
from pokeladder.records import Result
from pokeladder.simulator.process import SimulatorProcess

BEAT_SECONDS = 1.0
# It answers within milliseconds, some thousandths of this.
SILENT_SECONDS = 60.0
log = logging.getLogger(__name__)


class _Players:
    """The players of this process, built when first needed."""

    def __init__(self, job: Job) -> None:
        self._agents = {agent.name: agent for agent in job.agents}
        self._numbers = {name: number for number, name in enumerate(sorted(self._agents), start=1)}
        self._format = job.rules.format_id
        self._built: dict[tuple[str, bool], Player] = {}

    def __call__(self, name: str, twin: bool) -> Player:
        """The player of an agent; with ``twin`` another one, which can play against the first."""
        key = (name, twin)
        if key not in self._built:
            username = f"agent {self._numbers[name]}{' twin' if twin else ''}"
            if twin and batches(self(name, False)):
                self._built[key] = Twin(self(name, False), username)
            else:
                self._built[key] = build_player(self._agents[name], self._format, username)
        return self._built[key]


class _Worker:
    def __init__(self, connection: Connection, pulse: Pulse, job: Job) -> None:
        self._connection = connection
        self._job = job
        self._pulse = pulse
        self._stopped = asyncio.Event()
        self._restarting: set[asyncio.Task[None]] = set()
        self._simulators: list[SimulatorProcess] = []
        players = _Players(job)
        for agent in job.agents:
            players(agent.name, False)
        self._referee = Referee(job.rules, players, self._post, self._send, pulse)

    async def run(self) -> None:
        for number in range(self._job.simulators):
            self._simulators.append(await self._start_simulator(number))
        gc.collect()
        gc.freeze()
        # Battles make many objects and few cycles: the default of 700 objects costs 4% of the time.
        gc.set_threshold(50_000, 20, 20)
        self._pulse.beat()
        self._send(Ready())
        watching = asyncio.create_task(self._watch())
        asyncio.get_running_loop().add_reader(self._connection.fileno(), self._read_orders)
        await self._stopped.wait()
        watching.cancel()
        for simulator in self._simulators:
            await simulator.stop()

    async def _watch(self) -> None:
        """Shows that this process is alive, and ends simulators that have stopped answering."""
        while True:
            self._pulse.beat()
            await asyncio.sleep(BEAT_SECONDS)
            for number, simulator in enumerate(self._simulators):
                if simulator.silence() > SILENT_SECONDS and any(map(self._in(number), self._referee.waiting())):
                    log.error("a simulator has not answered for %g s", SILENT_SECONDS)
                    simulator.kill()

    async def _start_simulator(self, number: int) -> SimulatorProcess:
        simulator = SimulatorProcess(self._job.simulator, self._referee.receive, partial(self._simulator_died, number))
        await simulator.start()
        return simulator

    def _simulator_died(self, number: int, reason: str) -> None:
        log.error("%s", reason)
        self._send(Notice(f"{reason}: its battles are void and are played again"))
        self._restarting.add(restarting := asyncio.create_task(self._restart_simulator(number)))
        restarting.add_done_callback(self._restarting.discard)

    async def _restart_simulator(self, number: int) -> None:
        try:
            self._simulators[number] = await self._start_simulator(number)
        except OSError as error:
            self._send(Failed(SimulatorError(f"the simulator could not be started again: {error}")))
        # Only when the next one is there: the games come back at once.
        self._referee.void_those(self._in(number), "crash")

    def _in(self, number: int) -> Callable[[int], bool]:
        """Whether a battle is in this one of the simulators."""
        return lambda table: table % len(self._simulators) == number

    def _post(self, kind: str, table: int, *rest: Any) -> None:
        self._simulators[table % len(self._simulators)].post(kind, table, *rest)

    def _read_orders(self) -> None:
        try:
            while self._connection.poll():
                order: Play = self._connection.recv()
                self._referee.start(order.game, order.attempt)
        except EOFError:
            asyncio.get_running_loop().remove_reader(self._connection.fileno())
            self._stopped.set()

    def _send(self, message: Ready | Failed | Result | Notice) -> None:
        try:
            self._connection.send(message)
        except OSError:
            self._stopped.set()


def _end_with_parent(lifeline: int) -> None:
    """Ends this process when the other end of ``lifeline`` closes, whatever the main thread is busy with."""

    def wait() -> None:
        os.read(lifeline, 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main() -> None:
    connection, lifeline, pulse = Connection(int(sys.argv[1])), int(sys.argv[2]), Pulse(int(sys.argv[3]))
    _end_with_parent(lifeline)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    try:
        job: Job = cloudpickle.loads(connection.recv_bytes())
    except Exception as error:
        connection.send(Failed(AgentError(f"an agent could not be sent to a worker process: {error}")))
        return

    async def play() -> None:
        await _Worker(connection, pulse, job).run()

    try:
        asyncio.run(play())
    except PokeladderError as error:
        connection.send(Failed(error))
