from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pokeladder.errors import SimulatorError
from pokeladder.simulator import node, process, setup
from pokeladder.simulator.process import Inquiry
from pokeladder.simulator.setup import (
    STAMP,
    Simulator,
    ensure_simulator,
    pinned_version,
    setup_problem,
    simulator_folder,
)
from running import slowly, wait_until

SET_UP = "from pokeladder.simulator.setup import ensure_simulator; ensure_simulator(print)"
# A proxy that nobody listens at: what needs the network fails.
OFFLINE = dict.fromkeys(
    ("HTTP_PROXY", "HTTPS_PROXY", "npm_config_proxy", "npm_config_https_proxy"), "http://127.0.0.1:9"
)
OFFLINE |= {"npm_config_fetch_retries": "0", "npm_config_cache": "/nonexistent"}


@pytest.fixture
def copied(simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of its own with the simulator in it."""
    monkeypatch.setenv("POKELADDER_CACHE", str(tmp_path / "cache"))
    kept = shutil.ignore_patterns("compiled", f"{process.ANSWERS}*")
    shutil.copytree(simulator.folder, simulator_folder(), copy_function=os.link, ignore=kept)
    return simulator_folder()


def test_it_answers(inquiry: Inquiry) -> None:
    assert inquiry.version()["simulator"] == pinned_version()
    assert inquiry.format("gen1ou") == {
        "id": "gen1ou",
        "name": "[Gen 1] OU",
        "gen": 1,
        "game_type": "singles",
        "random_teams": False,
        "team_preview": False,
    }
    assert inquiry.format("gen10ou") is None
    assert len(inquiry.formats()) > 100


def test_refusals_do_not_end_it(inquiry: Inquiry) -> None:
    for log in ("", "no log at all", '>start {"formatid":"gen1ou"}\n>p1 move 1'):
        with pytest.raises(SimulatorError, match="the simulator could not answer"):
            inquiry.replay(log)
    assert inquiry.version()


def test_what_was_answered_is_not_asked_again(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the file is of no use, or the answers are of another driver."""
    simulator = ensure_simulator()
    broken = replace(simulator, node=replace(simulator.node, executable=Path("/bin/false")))
    team = "Tauros||||bodyslam|||||||"

    def ask(simulator: Simulator) -> list[Any]:
        with Inquiry(simulator) as inquiry:
            asked = [inquiry.format("gen1ou"), inquiry.format("no such"), inquiry.additions("gen9ou")]
            return [*asked, inquiry.team("gen1ou", team), inquiry.team("gen2ou", team)]

    with pytest.raises(SimulatorError, match="the simulator failed"):
        ask(broken)
    answers = ask(simulator)
    assert answers[3]["problems"] == []
    assert answers[3] != answers[4]
    assert ask(broken) == answers
    kept = copied / process.ANSWERS
    content = kept.read_bytes()
    kept.write_bytes(b"no database" * 1000)
    assert ask(simulator) == answers
    kept.write_bytes(content)
    monkeypatch.setattr(process, "DRIVER", copied / "driver.js")
    (copied / "driver.js").write_bytes(setup.DRIVER.read_bytes() + b"\n")
    with pytest.raises(SimulatorError, match="the simulator failed"):
        ask(broken)


def test_a_second_use_needs_no_network(copied: Path) -> None:
    subprocess.run([sys.executable, "-c", SET_UP], env={**os.environ, **OFFLINE}, check=True, capture_output=True)


@pytest.mark.parametrize(
    "damage", [slowly("a file is gone"), "a file is short", slowly("the stamp is gone"), "the stamp is cut"]
)
def test_a_damaged_set_up_heals_itself(copied: Path, damage: str) -> None:
    victim = copied / "node_modules" / "pokemon-showdown" / "dist" / "sim" / "battle.js"
    stamp = copied / STAMP
    text = (victim if damage == "a file is short" else stamp).read_bytes()
    # The copies are hard links: a damaged one must not be the original.
    if damage == "a file is gone":
        victim.unlink()
    elif damage == "a file is short":
        victim.unlink()
        victim.write_bytes(text[:1000])
    else:
        stamp.unlink()
        if damage == "the stamp is cut":
            stamp.write_bytes(text[:5])
    assert setup_problem(copied)
    simulator = ensure_simulator()
    assert setup_problem(copied) is None
    with Inquiry(simulator) as inquiry:
        assert inquiry.version()


def test_offline_and_not_set_up(tmp_path: Path) -> None:
    env = {**os.environ, **OFFLINE, "POKELADDER_CACHE": str(tmp_path)}
    failed = subprocess.run([sys.executable, "-c", SET_UP], env=env, capture_output=True, text=True)
    assert "npm could not install the simulator" in failed.stderr
    assert "check the network" in failed.stderr
    assert not list(tmp_path.glob("*/node_modules")), "nothing half is left"


def test_two_at_once_and_one_killed(tmp_path: Path) -> None:
    env = {**os.environ, "POKELADDER_CACHE": str(tmp_path)}

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", SET_UP], env=env, stdout=subprocess.PIPE, text=True)

    killed = start()
    wait_until(lambda: list(tmp_path.glob(".showdown-*/node_modules")) or killed.poll() is not None)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    pair = [start(), start()]
    said = [process.communicate()[0] for process in pair]
    assert [process.returncode for process in pair] == [0, 0]
    assert sum("is set up" in text for text in said) == 1, said
    folder = tmp_path / f"showdown-{pinned_version()}"
    assert setup_problem(folder) is None
    assert not list(tmp_path.glob(".showdown-*")), "what the killed one left is cleared away"


def test_packages_that_are_not_what_was_pinned_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POKELADDER_CACHE", str(tmp_path / "cache"))
    here = tmp_path / "pins"
    here.mkdir()
    from pokeladder.simulator import setup

    for pin in setup.PINS:
        shutil.copy(setup.HERE / pin, here / pin)
    lock = json.loads((here / "package-lock.json").read_text())
    entry = lock["packages"]["node_modules/ts-chacha20"]
    entry["integrity"] = "sha512-" + "A" * 86 + "=="
    (here / "package-lock.json").write_text(json.dumps(lock))
    monkeypatch.setattr(setup, "HERE", here)
    with pytest.raises(SimulatorError, match=r"npm could not install the simulator.*EINTEGRITY"):
        ensure_simulator()
    assert setup_problem(simulator_folder()) == "not set up yet"


def fake_node(folder: Path, version: str) -> None:
    folder.mkdir(exist_ok=True)
    script = folder / "node"
    script.write_text(f"#!/bin/sh\necho {version}\n")
    script.chmod(0o755)


def test_an_old_node_on_the_path_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_node(tmp_path / "old", "v20.1.0")
    monkeypatch.setenv("PATH", f"{tmp_path / 'old'}:/usr/bin:/bin")
    monkeypatch.setattr(node.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(
        SimulatorError, match=r"no Node 22 or newer .*is version 20\.1\.0.*pip install 'pokeladder\[node\]'"
    ):
        node.find_node()
    fake_node(tmp_path / "new", "v26.0.0")
    monkeypatch.setenv("PATH", f"{tmp_path / 'new'}:/usr/bin:/bin")
    assert node.find_node().version == "26.0.0"


def test_a_node_that_cannot_be_run_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_node(tmp_path, "v26.0.0 >&2; exit 3")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(node.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SimulatorError, match=r"cannot be asked for its version: v26\.0\.0\): run pip install"):
        node.find_node()


def test_no_node_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(node.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SimulatorError, match="no Node 22 or newer was found: run pip install"):
        node.find_node()


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("POKELADDER_CACHE", str(blocked / "cache"))
    with pytest.raises(SimulatorError, match="set POKELADDER_CACHE to a folder that can be written"):
        ensure_simulator()


@pytest.mark.parametrize(
    ("body", "reason"), [("exit 1", "its process ended"), ("read line; echo garbage", r"it answered b'garbage\n'")]
)
def test_a_node_that_tells_its_version_and_is_broken(
    simulator: Simulator, tmp_path: Path, body: str, reason: str
) -> None:
    broken = tmp_path / "node"
    broken.write_text(f"#!/bin/sh\n{body}\n")
    broken.chmod(0o755)
    broken_node = replace(simulator.node, executable=broken)
    with Inquiry(replace(simulator, node=broken_node)) as inquiry, pytest.raises(SimulatorError) as told:
        inquiry.version()
    assert str(told.value).startswith(f"the simulator failed: {reason} (Node {broken_node.version}, {broken}): delete ")


def test_a_node_that_does_not_answer(simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "ANSWER_SECONDS", 0.1)
    silent = tmp_path / "node"
    silent.write_text("#!/bin/sh\nexec sleep 1000\n")
    silent.chmod(0o755)
    silent_node = replace(simulator.node, executable=silent)
    with (
        Inquiry(replace(simulator, node=silent_node)) as inquiry,
        pytest.raises(SimulatorError, match="has not answered"),
    ):
        inquiry.version()


def damage(folder: Path, name: str, old: bytes, new: bytes) -> Path:
    """Changes a file but for its size and its time, as a bad disk does; the real one is linked to it, and stays."""
    path = folder / "node_modules" / "pokemon-showdown" / "dist" / name
    content, times = path.read_bytes(), path.stat()
    path.unlink()
    path.write_bytes(content.replace(old, new, 1))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_size == times.st_size
    assert path.read_bytes() != content
    return path


def test_a_damaged_file_of_the_same_size_is_named(copied: Path) -> None:
    setup.write_contents(copied)
    assert setup.damaged_file(copied) is None
    damaged = damage(copied, "sim/battle.js", b"class Battle {", b"class Battle )")
    assert setup_problem(copied) is None
    assert setup.damaged_file(copied) == damaged
    with Inquiry(ensure_simulator()) as inquiry, pytest.raises(SimulatorError) as told:
        inquiry.version()
    assert str(damaged) in str(told.value)
    assert "\n" not in str(told.value)


def test_a_file_that_was_written_later_is_compared(copied: Path) -> None:
    """One that would play battles by other rules, without a word."""
    setup.write_contents(copied)
    dist, stamp = copied / "node_modules" / "pokemon-showdown" / "dist", copied / setup.STAMP
    for path in (stamp, dist / "sim" / "battle.js", dist / "data" / "moves.js"):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    assert setup_problem(copied) is None
    completed = stamp.stat().st_mtime_ns
    assert all(found.st_mtime_ns <= completed for found in setup._files(copied).values()), "they are not compared again"
    changed = damage(copied, "data/moves.js", b"basePower: 40", b"basePower: 90")
    assert setup_problem(copied) is None
    changed.touch()
    assert setup_problem(copied) == "files are missing or changed"
