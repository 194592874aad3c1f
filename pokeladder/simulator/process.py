"""Processes of the simulator: one that plays many battles, and one that answers questions."""

from __future__ import annotations

import asyncio
import re
import select
import subprocess
import time
from collections.abc import Callable
from typing import Any

from pokeladder.errors import SimulatorError
from pokeladder.simulator.answers import Answers
from pokeladder.simulator.json_lines import READ_BYTES, Decoder, encoded
from pokeladder.simulator.setup import DRIVER, Simulator

# Seconds for an answer; loading the simulator takes one or two, and so does a long replay.
ANSWER_SECONDS = 120.0
# Name of the cache of answers in the simulator's folder.
ANSWERS = "answers.sqlite"


def _command(simulator: Simulator, *arguments: str) -> list[str]:
    # A larger young generation saves 5% of the time, since most objects of a turn are short-lived.
    return [str(simulator.node.executable), "--max-semi-space-size=32", str(DRIVER), str(simulator.folder), *arguments]


def _refused(reason: str) -> SimulatorError:
    return SimulatorError(f"the simulator could not answer: {reason}")


class SimulatorProcess:
    """A Node process that plays many battles at once; used from a running event loop.

    Args:
        simulator: paths of Node and Showdown.
        on_message: called with every message about a battle, in order (see ``driver.js``).
        on_death: called once with a reason, if the process ends before :meth:`stop`.
    """

    def __init__(
        self,
        simulator: Simulator,
        on_message: Callable[[list[Any]], None],
        on_death: Callable[[str], None],
    ) -> None:
        self._simulator = simulator
        self._on_message = on_message
        self._on_death = on_death
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._unsent: list[tuple[Any, ...]] = []
        self._answered = False
        self._last_message = time.monotonic()

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *_command(self._simulator, "fastpath"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Ctrl-C in a terminal must reach pokeladder only, which ends this process by closing its stdin.
            start_new_session=True,
        )
        self._reading = asyncio.create_task(self._read())

    def post(self, *message: Any) -> None:
        """Sends a message; those of one turn of the event loop are written together."""
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent.append(message)

    def silence(self) -> float:
        """Seconds since the last message in either direction."""
        return time.monotonic() - self._last_message

    def kill(self) -> None:
        """Kills the process, which is handled as a death."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def stop(self) -> None:
        """Ends the process and waits for it."""
        if self._process is None:
            return
        if self._reading is not None:
            self._reading.cancel()
        self.kill()
        await self._process.wait()

    def _flush(self) -> None:
        messages, self._unsent = self._unsent, []
        self._last_message = time.monotonic()
        stdin = self._process.stdin if self._process else None
        if stdin is not None and not stdin.is_closing():
            stdin.write(encoded(messages))

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        decoder = Decoder()
        while chunk := await self._process.stdout.read(READ_BYTES):
            self._last_message = time.monotonic()
            self._answered = True
            for message in decoder.feed(chunk):
                self._on_message(message)
        status = await self._process.wait()
        never = "" if self._answered else " before its first message: find the cause with `pokeladder doctor`"
        self._on_death(f"the simulator's process ended with exit status {status}{never}")


class Inquiry:
    """Asks the simulator about formats, teams and replays; a context manager.

    A process is started at the first question whose answer is not in the cache.

    Raises:
        SimulatorError: the simulator refused a question, or died.
    """

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._process: subprocess.Popen[bytes] | None = None
        self._answers = Answers(simulator.folder / ANSWERS, DRIVER.read_bytes())
        self._asked = 0

    def __enter__(self) -> Inquiry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._answers.close()

    def version(self) -> dict[str, str]:
        """Versions of the simulator and of Node."""
        return dict(self._ask("version"))

    def format(self, name: str) -> dict[str, Any] | None:
        """The format's id, name, gen, game_type, random_teams and team_preview; None if there is no such format."""
        answer: dict[str, Any] | None = self._known("format", name)
        return answer

    def additions(self, format_id: str) -> dict[str, dict[str, dict[str, Any]]]:
        """The ``moves`` and ``species`` of a format that its generation lacks, by id."""
        return dict(self._known("additions", format_id))

    def formats(self) -> list[dict[str, Any]]:
        """All formats, each described as by :meth:`format`."""
        return list(self._ask("formats"))

    def team(self, format_id: str, text: str) -> dict[str, Any]:
        """The packed team, its species, and the problems found by Showdown's validator, if any."""
        return dict(self._known("team", format_id, text))

    def replay(self, input_log: str) -> dict[str, Any]:
        """Replays an input log in a fresh battle: ended, winner (``p1``, ``p2`` or None), turns, log."""
        return dict(self._ask("replay", input_log))

    def reconstruct(self, input_log: str, p1: str, p2: str) -> list[list[Any]]:
        """The lines and choices of both players step by step, from an input log (see ``driver.js``).

        Args:
            p1, p2: names of the players.
        """
        return list(self._ask("reconstruct", input_log, p1, p2))

    def _known(self, question: str, *arguments: str) -> Any:
        """An answer that can be cached."""
        try:
            return self._answers.find(question, *arguments)
        except KeyError:
            answer = self._ask(question, *arguments)
        self._answers.add(answer, question, *arguments)
        return answer

    def _ask(self, question: str, *arguments: str) -> Any:
        if self._process is None:
            self._process = self._start()
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        self._asked += 1
        try:
            process.stdin.write(encoded([["ask", self._asked, question, *arguments]]))
            process.stdin.flush()
            if not select.select([process.stdout], [], [], ANSWER_SECONDS)[0]:
                raise self._broken(f"it has not answered within {ANSWER_SECONDS:.0f} s")
            line = process.stdout.readline()
        except OSError:
            line = b""
        if not line:
            raise self._broken(_last_words(process))
        try:
            ((kind, _, answer),) = Decoder().feed(line)
        except ValueError:
            raise self._broken(f"it answered {line[:60]!r}") from None
        if kind == "refusal":
            raise _refused(str(answer))
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                _command(self._simulator),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise _refused(f"{self._simulator.node.executable} cannot be started: {error.strerror}") from error

    def _broken(self, reason: str) -> SimulatorError:
        node, folder = self._simulator.node, self._simulator.folder
        return SimulatorError(
            f"the simulator failed: {reason} (Node {node.version}, {node.executable}): delete {folder} and run "
            "`pokeladder doctor --setup`; if that does not help, put another Node first on PATH"
        )


def _last_words(process: subprocess.Popen[bytes]) -> str:
    """Error and place in the source of a process's failure, in one line."""
    assert process.stderr is not None
    said = process.stderr.read().decode(errors="replace")
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    error = next((line for line in lines if re.match(r"\w*Error\b", line)), lines[-1] if lines else "")
    place = f" in {lines[0]}" if lines and error and lines[0] != error else ""
    return f"its process ended{f' with {error[:300]}{place[:300]}' if error else ''}"
