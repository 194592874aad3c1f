"""Processes of agents that play on a server: start, state and end."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import cloudpickle

from pokeladder.agents.programs import Limits
from pokeladder.agents.specs import Agent
from pokeladder.play.messages import AgentTask
from pokeladder.system.processes import last_words, python_command

SUPERVISOR = Path(__file__).with_name("supervisor.py")
# Longer than the time that the supervisor gives a program to end by itself.
END_SECONDS = 10.0
TAIL_LINES = 4


class AgentProcess:
    """A running process of an agent.

    Attributes:
        started: time of the start on the monotonic clock.
        online: whether it has logged in.
        log: file of its output.
        work: folder for the files that it writes.
    """

    def __init__(self, task: AgentTask, folder: Path, gpu: str | None) -> None:
        self.agent = agent = task.agent
        self.task = task
        self.user = task.user
        self.gpu = gpu
        self.online = False
        self.started = time.monotonic()
        self.ended: float | None = None
        self.log = folder / f"{task.user}.log"
        self.work = folder / task.user
        self.work.mkdir(parents=True, exist_ok=True)
        # Private, since an agent's parameters may be secret.
        self.work.chmod(0o700)
        command = self._command()
        lifeline, self._lifeline = os.pipe()
        with self.log.open("ab") as output:
            shown = agent.identity()["target"] if isinstance(agent, Agent) else shlex.join(command)
            output.write(f"agent {agent.name} in the role {task.role}: {shown}\n".encode())
            output.flush()
            try:
                self._supervisor = subprocess.Popen(
                    [sys.executable, "-I", str(SUPERVISOR), str(lifeline), *command],
                    cwd=agent.folder,
                    env={**os.environ, **agent.process_environment(gpu)},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=[lifeline],
                    # Ctrl-C in a terminal must reach pokeladder only.
                    start_new_session=True,
                )
            except BaseException:
                os.close(self._lifeline)
                raise
            finally:
                os.close(lifeline)

    @property
    def limits(self) -> Limits:
        return self.agent.limits

    def status(self) -> int | None:
        """The exit status; None while the process runs."""
        status = self._supervisor.poll()
        if status is not None and self.ended is None:
            self.ended = time.monotonic()
        return status

    def tail(self) -> str:
        """The last lines of its output, for an error message."""
        return last_words(self.log, TAIL_LINES, after=1)

    def let_go(self) -> None:
        """Makes the supervisor end the program, without waiting for that."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1

    def end(self) -> None:
        """Ends the program and its children, and removes its folder."""
        self.let_go()
        try:
            self._supervisor.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            with suppress(OSError):
                os.killpg(self._supervisor.pid, signal.SIGKILL)
            self._supervisor.wait()
        shutil.rmtree(self.work, ignore_errors=True)

    def _command(self) -> list[str]:
        task = self.task
        if isinstance(self.agent, Agent):
            file = self.work / "task.pickle"
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as pickle:
                pickle.write(cloudpickle.dumps(task))
            return python_command("pokeladder.play.server.client", str(file))
        files = sorted((task.team_folder / task.format_id).glob("*"))
        address = urlsplit(task.url)
        return self.agent.filled_in(
            {
                "username": task.user,
                "server": task.url,
                "host": address.netloc,
                "port": str(address.port or (443 if address.scheme == "wss" else 80)),
                "format": task.format_id,
                "opponent": task.opponent,
                "battles": str(task.battles),
                "role": self.agent.roles[task.role],
                "team_dir": str(task.team_folder),
                "team_file": str(files[0]) if files else "",
                "backend": task.backend,
                "work_dir": str(self.work),
            }
        )
