"""Policy processes: each holds one agent's policy and answers the positions of all worker processes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from pokeladder import retries
from pokeladder.agents.programs import Program
from pokeladder.agents.specs import Agent
from pokeladder.errors import AgentError
from pokeladder.processes import ended, last_words
from pokeladder.records import Notice
from pokeladder.retries import FailuresInARow
from pokeladder.scratch import Scratch

PLAYER = "pokeladder.metamon.policy_player:PolicyPlayer"
# One of them is there where NVIDIA's or AMD's driver is.
GPU_DEVICES = (Path("/dev/nvidiactl"), Path("/dev/kfd"))
TAIL_LINES = 4
END_SECONDS = 5.0


class _PolicyServer:
    """A running policy process.

    Attributes:
        address: where it listens.
        failures: its deaths, with no battle finished between.
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
        """Starts it, again if it has died.

        Raises:
            AgentError: there is no such program.
        """
        self.address.unlink(missing_ok=True)
        command = self.program.policy_command({"address": str(self.address), "format": self._format})
        with self.log.open("ab") as output:
            try:
                self._process = subprocess.Popen(
                    command,
                    cwd=self.program.folder,
                    env=self._environment,
                    # It ends when this does.
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    # A Ctrl-C in the terminal is for pokeladder.
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
    """The policy processes of a run.

    Args:
        programs: the agents that have one.
        gpus: one process an agent on each; if none is named, one process wherever it wants.
        workers: how many processes ask. Without a GPU, where a policy keeps one core busy, as many answer for all
            agents together.

    Raises:
        AgentError: one cannot be started.
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
        # The path of a Unix socket must be short.
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
        """What one of the worker processes has for these agents."""
        chosen = {name: servers[worker % len(servers)] for name, servers in self._servers.items()}
        return tuple(Agent(name, PLAYER, {"address": str(server.address)}) for name, server in chosen.items())

    def finished(self) -> None:
        """A battle has been played to its end."""
        for server in self._all():
            server.failures.reset()

    def look(self) -> Iterator[Notice]:
        """Starts again what has died.

        Raises:
            AgentError: it does not help.
        """
        for server in self._all():
            status = server.status()
            if status is None:
                continue
            hopeless = server.failures.add()
            told = f"the policy process of agent {server.program.name} ended with exit status {status}"
            told += last_words(server.log, TAIL_LINES)
            # With a status of its own it has said why, and would say so again.
            if status > 0 or hopeless:
                raise AgentError(f"{told} (its log is {server.log})")
            yield Notice(f"{told}; its battles are void and are played again")
            server.start()

    def _all(self) -> list[_PolicyServer]:
        return [server for servers in self._servers.values() for server in servers]


def _has_gpu() -> bool:
    return os.environ.get("CUDA_VISIBLE_DEVICES") != "" and any(device.exists() for device in GPU_DEVICES)
