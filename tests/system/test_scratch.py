"""Folders in the temporary folder, and what is left of them after ``kill -9``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pokeladder.agents.specs import BUILT_IN, Agent
from pokeladder.metamon import checkpoints
from pokeladder.play.messages import AgentTask
from pokeladder.play.server.agent_process import AgentProcess
from pokeladder.store.files import Store
from pokeladder.system.scratch import MARK, Scratch


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def owner(place: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has a folder and waits."""
    code = "from pokeladder.system.scratch import Scratch; print(Scratch().folder, flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(place)},
    )
    with process:
        yield process
        process.kill()


def test_a_killed_processs_folder_is_cleared_and_a_living_ones_is_not(owner: subprocess.Popen[str]) -> None:
    assert owner.stdout is not None
    folder = Path(owner.stdout.readline().strip())
    (folder / "deep").mkdir()
    with Scratch() as own:
        assert folder.is_dir()
        assert own != folder
    assert not own.exists()
    owner.kill()
    owner.wait()
    with Scratch():
        assert not folder.exists()


def test_two_threads_close_a_folder_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when Ctrl-C ends a command whose main thread is just leaving the folder."""
    both = threading.Barrier(2)
    remove = shutil.rmtree

    def removed(folder: Path, ignore_errors: bool) -> None:
        remove(folder, ignore_errors=ignore_errors)
        both.wait()

    scratch = Scratch()
    monkeypatch.setattr(shutil, "rmtree", removed)
    with ThreadPoolExecutor(2) as threads:
        for closing in [threads.submit(scratch.close) for _ in range(2)]:
            closing.result()
    assert not scratch.folder.exists()


@pytest.mark.parametrize(
    ("script", "options"),
    [
        (
            checkpoints.PLAYER,
            "--username a --server ws://127.0.0.1:9 --team-dir . --battles 1 --opponent b --work-dir .",
        ),
        (checkpoints.POLICY, "--address policy.socket"),
    ],
    ids=["player", "policy"],
)
def test_what_runs_in_metamons_interpreter_uses_the_folder_that_it_is_given(
    place: Path, tmp_path: Path, script: Path, options: str
) -> None:
    """Without pokeladder, and here without metamon: nothing but the standard library is there."""
    work = tmp_path / "work"
    work.mkdir()
    command = [sys.executable, "-S", str(script), "--model", "x", "--format", "gen1ou", *options.split()]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # One ends with its standard input.
    stdin, held = os.pipe()
    done = subprocess.run(
        command, cwd=work, env={**env, "TMPDIR": str(place)}, stdin=stdin, capture_output=True, text=True
    )
    os.close(stdin)
    os.close(held)
    assert done.returncode == 1
    assert done.stderr.startswith("metamon cannot be imported: ModuleNotFoundError"), done.stderr
    assert [path.name for path in place.iterdir()] == ["work"]


def test_what_is_not_pokeladders_stays(place: Path) -> None:
    for name in ("pokeladder-notes", "pokeladder-file"):
        (place / name).mkdir() if name.endswith("notes") else (place / name).touch()
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / MARK).touch()
    (place / "pokeladder-link").symlink_to(elsewhere)
    with Scratch() as own:
        assert [path.stat().st_mode & 0o777 for path in (own, own / MARK)] == [0o700, 0o600]
    assert sorted(path.name for path in place.iterdir()) == [
        "elsewhere", "pokeladder-file", "pokeladder-link", "pokeladder-notes"
    ]  # fmt: skip
    assert (elsewhere / MARK).exists()


def test_folders_of_agents_of_killed_runs_are_cleared(place: Path) -> None:
    store = Store(place / "ladder")
    for run in ("killed", "playing"):
        (store.log_folder(run) / "pl1").mkdir()
        (store.log_folder(run) / "pl1.log").touch()
    with store.lock_run("playing"):
        store.clear_work()
        assert (store.log_folder("playing") / "pl1").is_dir()
        store.clear_unfinished("playing")
    for run in ("killed", "playing"):
        assert [path.name for path in store.log_folder(run).iterdir() if path.suffix != ".lock"] == ["pl1.log"]


def test_what_an_agents_process_is_told_is_for_this_user_alone(place: Path) -> None:
    agent = Agent("random", BUILT_IN["random"])
    url = "ws://127.0.0.1:9"
    task = AgentTask(agent, "pl1", "pl2", url, "gen1ou", "acceptor", 1, None, place, "poke-env", 1, {})
    before = os.umask(0)
    try:
        process = AgentProcess(task, place, None)
    finally:
        os.umask(before)
    modes = [path.stat().st_mode & 0o777 for path in (process.work, process.work / "task.pickle")]
    process.end()
    assert modes == [0o700, 0o600]
