"""Policy servers: processes that load an agent's policy and answer positions of worker processes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from pokeladder import retries
from pokeladder.agents.programs import Program
from pokeladder.agents.specs import Agent
from pokeladder.errors import AgentError
from pokeladder.records import Notice
from pokeladder.retries import FailuresInARow
from pokeladder.system.processes import ended, last_words
from pokeladder.system.scratch import Scratch

PLAYER = "pokeladder.metamon.policy_player:PolicyPlayer"
# Devices of NVIDIA's and AMD's drivers.
GPU_DEVICES = (Path("/dev/nvidiactl"), Path("/dev/kfd"))
TAIL_LINES = 4
END_SECONDS = 5.0


class _PolicyServer:
    """A running policy server.

    Attributes:
        address: path of its socket.
        failures: its consecutive deaths without a finished battle between.
    """

    def __init__(self, program: Program, format_id: str, address: Path, log: Path, gpu: str | None) -> None:
        self.program = program
        self.address = address
        self.log = log
        self.failures = FailuresInARow(retries.AGENT_FAILURES)
        self._format = format_id
        self._environment = {**os.environ, **program.process_environment(gpu)}
        self.start()

    def start(self) -> None:
        """Starts the process, or starts it again.

        Raises:
            AgentError: the program does not exist.
        """
        self.address.unlink(missing_ok=True)
        command = self.program.policy_command({"address": str(self.address), "format": self._format})
        with self.log.open("ab") as output:
            try:
                self._process = subprocess.Popen(
                    command,
                    cwd=self.program.folder,
                    env=self._environment,
                    # The server ends when its input is closed.
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    # Ctrl-C in a terminal must reach pokeladder only.
                    start_new_session=True,
                )
            except OSError as error:
                raise AgentError(f"agent {self.program.name} cannot be started: {error}") from error

    def status(self) -> int | None:
        return self._process.poll()

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        ended(self._process, END_SECONDS)


class PolicyServers:
    """The policy servers of a run.

    Args:
        programs: the agents with a policy.
        gpus: GPUs, with one server of each agent on each; without any, one server that chooses its GPU.
        workers: number of worker processes. Without a GPU, where a policy keeps one core busy, this is the number of
            servers of all agents together.

    Raises:
        AgentError: a server cannot be started.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        format_id: str,
        log_folder: Path,
        gpus: Sequence[str] = (),
        workers: int = 1,
    ) -> None:
        self._servers: dict[str, list[_PolicyServer]] = {}
        if not programs:
            return
        # Paths of Unix sockets must be short.
        self._scratch = Scratch()
        self._folder = self._scratch.folder
        try:
            for number, program in enumerate(programs):
                servers = self._servers[program.name] = []
                places: Sequence[str | None] = [None] * max(1, workers // len(programs))
                if program.gpu and (gpus or _has_gpu()):
                    places = gpus or [None]
                for place, gpu in enumerate(places):
                    name = f"policy-{number}-{place}"
                    servers.append(
                        _PolicyServer(program, format_id, self._folder / name, log_folder / f"{name}.log", gpu)
                    )
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for server in self._all():
            server.end()
        if self._servers:
            self._scratch.close()
        self._servers = {}

    def agents_for(self, worker: int) -> tuple[Agent, ...]:
        """The players of these agents in one of the worker processes."""
        chosen = {name: servers[worker % len(servers)] for name, servers in self._servers.items()}
        return tuple(Agent(name, PLAYER, {"address": str(server.address)}) for name, server in chosen.items())

    def finished(self) -> None:
        """Resets the failures, after a battle was finished."""
        for server in self._all():
            server.failures.reset()

    def look(self) -> Iterator[Notice]:
        """Restarts servers that have died.

        Raises:
            AgentError: a server ended with an error of its own, or died too often.
        """
        for server in self._all():
            status = server.status()
            if status is None:
                continue
            hopeless = server.failures.add()
            message = f"the policy server of agent {server.program.name} ended with exit status {status}"
            message += last_words(server.log, TAIL_LINES)
            # An exit status of its own is an error that would occur again.
            if status > 0 or hopeless:
                raise AgentError(f"{message} (its log is {server.log})")
            yield Notice(f"{message}; its battles are void and are played again")
            server.start()

    def _all(self) -> list[_PolicyServer]:
        return [server for servers in self._servers.values() for server in servers]


def _has_gpu() -> bool:
    return os.environ.get("CUDA_VISIBLE_DEVICES") != "" and any(device.exists() for device in GPU_DEVICES)
