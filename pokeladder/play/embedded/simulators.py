"""The simulator processes of a worker, which are replaced when they die, hang or have played many battles."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Any

from pokeladder.errors import SimulatorError
from pokeladder.simulator.process import SimulatorProcess
from pokeladder.simulator.setup import Simulator

# Seconds after which a simulator counts as hung; it answers within milliseconds.
SILENT_SECONDS = 60.0
# Number of battles after which a simulator is replaced, since its memory grows.
BATTLES = 20_000
log = logging.getLogger(__name__)


class Simulators:
    """The simulators; used from a running event loop.

    Args:
        count: number of processes.
        receive: called with every message about a battle (see ``driver.js``).
        died: called with the reason when a process has died.
        lost: called with the numbers of its battles, once another process has replaced it.
        failed: called if a process cannot be replaced.
    """

    def __init__(
        self,
        simulator: Simulator,
        count: int,
        receive: Callable[[list[Any]], None],
        died: Callable[[str], None],
        lost: Callable[[Collection[int]], None],
        failed: Callable[[SimulatorError], None],
    ) -> None:
        self._simulator = simulator
        self._count = count
        self._receive = receive
        self._died = died
        self._lost = lost
        self._failed = failed
        self._current: list[SimulatorProcess] = []
        # The process of each running battle, and the number of battles of each process.
        self._homes: dict[int, SimulatorProcess] = {}
        self._begun: Counter[SimulatorProcess] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Starts the processes.

        Raises:
            OSError: Node cannot be started.
        """
        for _ in range(self._count):
            self._current.append(await self._start())

    async def stop(self) -> None:
        for process in {*self._current, *self._begun}:
            await process.stop()

    def post(self, kind: str, battle: int, *rest: Any) -> None:
        """Sends a message about a battle."""
        if kind == "start":
            home = self._homes[battle] = self._current[battle % self._count]
            self._begun[home] += 1
        self._homes[battle].post(kind, battle, *rest)

    async def look(self, waiting: Iterable[int], under_way: Collection[int]) -> None:
        """Ends hung processes, and replaces old ones; to be called regularly.

        Args:
            waiting: battles that wait for an answer.
            under_way: all running battles.
        """
        for process in {self._homes[battle] for battle in waiting}:
            if process.silence() > SILENT_SECONDS:
                log.error("a simulator has not answered for %g s", SILENT_SECONDS)
                process.kill()
        self._homes = {battle: process for battle, process in self._homes.items() if battle in under_way}
        for place, process in enumerate(self._current):
            if self._begun[process] >= BATTLES:
                self._current[place] = await self._start()
        needed = {*self._current, *self._homes.values()}
        for process in [process for process in self._begun if process not in needed]:
            del self._begun[process]
            await process.stop()

    async def _start(self) -> SimulatorProcess:
        process = SimulatorProcess(self._simulator, self._receive, lambda reason: self._bury(process, reason))
        await process.start()
        return process

    def _bury(self, process: SimulatorProcess, reason: str) -> None:
        log.error("%s", reason)
        self._died(reason)
        task = asyncio.create_task(self._replace(process))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _replace(self, process: SimulatorProcess) -> None:
        try:
            if process in self._current:
                self._current[self._current.index(process)] = await self._start()
        except OSError as error:
            self._failed(SimulatorError(f"the simulator could not be started again: {error}"))
        # Only when its replacement is there, since the games are started again at once.
        self._begun.pop(process, None)
        self._lost([battle for battle, home in self._homes.items() if home is process])
