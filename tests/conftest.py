from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Before NumPy is imported, here and in all processes: each of its threads costs the time to start it, and none is used.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
# Otherwise each of the thousand processes that tests start compiles what it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import pokeladder
from pokeladder.cli import progress
from pokeladder.play.server import sessions
from pokeladder.runs import preparation
from pokeladder.simulator.process import Inquiry
from pokeladder.simulator.setup import Simulator, ensure_simulator
from pokeladder.store import recorder
from running import HELPERS, command

# How long an example takes says nothing: simulators and other tests run beside it.
settings.register_profile("pokeladder", max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pokeladder")

# What a shell starts in the background ignores Ctrl-C, and what nohup starts ignores SIGHUP: so would all that the
# tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, lambda *_: None)


# What is printed only if a run takes more than ten seconds, or work on files does.
PROGRESS = re.compile(r"^([\d,]+/[\d,]+ battles(?!.* in all).*|\w+: [\d,]+ of [\d,]+ files.*)\n", re.MULTILINE)


def pytest_xdist_auto_num_workers() -> int:
    """Half as many again as there are cores: tests wait a third of their time."""
    return max(1, (os.cpu_count() or 1) * 3 // 2)


@pytest.fixture(scope="session")
def simulator() -> Simulator:
    return ensure_simulator()


@pytest.fixture(scope="session")
def inquiry(simulator: Simulator) -> Iterator[Inquiry]:
    with Inquiry(simulator) as inquiry:
        yield inquiry


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POKELADDER_STORE", "POKELADDER_AGENTS", "METAMON_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session", autouse=True)
def _the_seed_that_is_drawn_is_0() -> Iterator[None]:
    """In this process, so that a test plays the same battles each time; what a module's tests share is made with it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparation, "SEEDS", 1)
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_process_plays() -> Iterator[None]:
    """Unless a test asks for more, or runs the command: each costs two seconds of a processor to start."""
    with pytest.MonkeyPatch.context() as patch:
        if hasattr(os, "sched_getaffinity"):
            patch.setattr(os, "sched_getaffinity", lambda _: {0})
        yield


@pytest.fixture(autouse=True)
def _no_lines_of_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, however long something takes."""
    monkeypatch.setattr(progress, "LINE_SECONDS", math.inf)


@pytest.fixture(autouse=True)
def _no_long_farewells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that are to end by themselves get less time for it; they are ended then, which costs them nothing."""
    monkeypatch.setattr(sessions, "LEAVING_SECONDS", 2.0)


@pytest.fixture
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Battles are stored soon, so that a test which waits for the first of them needs few."""
    monkeypatch.setattr(recorder, "SHORTEST_SECONDS", 0.2)


@pytest.fixture
def ladder(tmp_path: Path) -> pokeladder.Ladder:
    return pokeladder.open(tmp_path / "ladder")


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the installed command in ``tmp_path`` as a user would; lines of progress are left out of what it prints."""

    def run(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PYTHONPATH": str(HELPERS), **settings.pop("env", {})}
        done = subprocess.run(
            [command(), *arguments], cwd=tmp_path, capture_output=True, text=True, env=env, **settings
        )
        done.stderr = PROGRESS.sub("", done.stderr)
        return done

    return run


@pytest.fixture
def command_line() -> list[str]:
    return [command()]


@pytest.fixture
def prompt_line() -> list[str]:
    """The command as with ``prompt``."""
    sooner = "from pokeladder import cli; from pokeladder.store import recorder; recorder.SHORTEST_SECONDS = 0.2"
    return [sys.executable, "-c", f"{sooner}; cli.main()"]
