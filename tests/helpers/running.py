"""Where the tests are, and running pokeladder's processes in them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pokeladder

HELPERS = Path(__file__).parent
TESTS = HELPERS.parent
DATA = TESTS / "data"
# METAMON_MODEL_CONFIG names the gin file where runs do not say their architecture.
METAMON = {name: os.environ.get(f"METAMON_{name.upper()}") for name in ("python", "checkpoints", "model_config")}


def slowly(*values: Any) -> Any:
    """Parameters of a test that runs only with ``-m slow``."""
    return pytest.param(*values, marks=pytest.mark.slow)


def wait_until(true: Callable[[], object]) -> None:
    """Waits without a limit: how long a machine takes says nothing, and a test that hangs is ended by pytest."""
    while not true():
        time.sleep(0.05)


def command() -> str:
    """The installed ``pokeladder`` beside the running Python."""
    found = shutil.which("pokeladder", path=str(Path(sys.executable).parent)) or shutil.which("pokeladder")
    assert found, "pokeladder is not installed"
    return found


def processes_with(text: str) -> list[str]:
    """Command lines of running processes that name ``text``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in command and int(path.parent.name) != os.getpid():
            found.append(command)
    return found


def descendants(pid: int) -> dict[int, str]:
    """Command lines of a process's children and theirs."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if parent == pid:
                found[int(entry.name)] = command
                found |= descendants(int(entry.name))
    return found


def alive(started: dict[int, str]) -> list[str]:
    found = []
    for pid, command in started.items():
        try:
            if Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() == command:
                found.append(command)
        except OSError:
            continue
    return found


def content(ladder: pokeladder.Ladder) -> list[tuple]:
    """What a seed decides: everything of a battle but its ids and times."""
    return ladder.sql(
        "SELECT game, p1, p2, p1_team, p2_team, seed, winner, outcome, end_reason, turns, p1_steps, p2_steps,"
        " p1_invalid, p2_invalid, input_log FROM battles JOIN input_logs USING (battle_id) ORDER BY game"
    ).fetchall()


def start_tournament(folder: Path, prompt_line: list[str], *more: str) -> subprocess.Popen[str]:
    """A tournament of three agents; where a :func:`hold` is, it does not end while that is there."""
    agents = ["random", f"bots:Waits,folder={folder},name=waits", "heuristics"]
    settings = ["--battles-per-matchup", "30", "--turn-timeout", "3600"]
    return subprocess.Popen(
        [*prompt_line, "tournament", *agents, *settings, *more],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(HELPERS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def hold(folder: Path) -> Path:
    """Lets each worker process of a tournament play three battles of an agent to their end, and no more."""
    limit = folder / "limit"
    limit.write_text("3")
    return limit


def wait_for_battles(folder: Path, process: subprocess.Popen[str]) -> None:
    def stored() -> bool:
        assert process.poll() is None, process.communicate()
        return any(folder.glob("ladder/battles/2*/*.parquet"))

    wait_until(stored)


def battle_rows(ladder: pokeladder.Ladder, columns: str, condition: str = "true") -> list[tuple[Any, ...]]:
    """Columns of the battles that meet a condition."""
    return ladder.sql(f"SELECT {columns} FROM battles WHERE {condition} ORDER BY ALL").fetchall()
