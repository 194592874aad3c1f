"""Disks that are full or read-only, clocks that go back, workers that hang: what is said, and that nothing is lost."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bots
import pokeladder
from pokeladder import Agent
from pokeladder.play.embedded import pool
from running import HELPERS, wait_until


def mounts() -> bool:
    """Whether a disk of its own can be had here."""
    return (
        bool(shutil.which("unshare"))
        and not subprocess.run(
            ["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True
        ).returncode
    )


@pytest.fixture
def disk(tmp_path: Path, command_line: list[str]) -> object:
    """Runs a script with a small disk at ``disk`` in its working directory; the disk is gone with it."""
    if not mounts():
        pytest.skip("no file system can be mounted here")
    (tmp_path / "disk").mkdir()
    (tmp_path / "unreserved.py").write_text(
        "from pokeladder.runs import monitor\nmonitor.RESERVE_BYTES = 0\nfrom pokeladder.cli import main\nmain()\n"
    )
    program = shlex.join([*command_line, "--store", "disk/ladder"])
    unreserved = shlex.join([sys.executable, "unreserved.py", "--store", "disk/ladder"])

    def run(script: str) -> subprocess.CompletedProcess[str]:
        script = script.replace("UNRESERVED", unreserved).replace("POKELADDER", program)
        return subprocess.run(["unshare", "-Urm", "sh", "-c", script], cwd=tmp_path, capture_output=True, text=True)

    return run


COUNT = "POKELADDER sql --format csv 'SELECT count(*), count(DISTINCT game) FROM battles' | tail -1"


def test_a_disk_that_is_full(disk) -> None:  # type: ignore[no-untyped-def]
    """What is stored stays, and when there is room again the rest is played."""
    done = disk(
        "mount -t tmpfs -o size=1200k tmpfs disk\n"
        "UNRESERVED selfplay max-power --num-battles 120 --workers 1; echo status $?\n"
        f"{COUNT}\n"
        "mount -o remount,size=300m disk\n"
        "POKELADDER selfplay --resume >/dev/null; echo status $?\n"
        f"{COUNT}\n"
        "POKELADDER check >/dev/null; echo status $?\n"
    )
    first, before, second, after, checked = done.stdout.splitlines()[-5:]
    assert (first, second, checked) == ("status 1", "status 0", "status 0"), done.stderr
    assert "No space left on device; no stored battle is lost: make room, and continue" in done.stderr
    assert 0 < int(before.split(",")[0]) < 120
    assert after == "120,120"


def test_a_disk_that_is_nearly_full_is_not_filled(disk) -> None:  # type: ignore[no-untyped-def]
    done = disk(
        "mount -t tmpfs -o size=100m tmpfs disk\nPOKELADDER tournament random max-power --workers 1; echo status $?"
    )
    assert done.stdout.splitlines()[-1] == "status 1"
    assert "are free on the disk of" in done.stderr
    assert "make room, and continue with --resume" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_disk_that_cannot_be_written(disk) -> None:  # type: ignore[no-untyped-def]
    """What is there can be asked for, checked and exported; what would write says why it cannot."""
    done = disk(
        "mount -t tmpfs -o size=300m tmpfs disk\n"
        "POKELADDER tournament random max-power --battles-per-matchup 6 --workers 1 >/dev/null 2>&1\n"
        "mount -o remount,ro disk\n"
        f"{COUNT}\n"
        "POKELADDER ratings --prior 1 >/dev/null; echo status $?\n"
        "POKELADDER check >/dev/null; echo status $?\n"
        "POKELADDER export-filtered --output-dir out --min-turns 0 >/dev/null 2>&1; echo status $?\n"
        "POKELADDER tournament random max-power --battles-per-matchup 2 --workers 1; echo status $?\n"
    )
    assert done.stdout.splitlines()[-5:] == ["6,6", "status 0", "status 0", "status 0", "status 1"], done.stderr
    assert "Read-only file system" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_a_clock_that_goes_back(tmp_path: Path, prompt_line: list[str]) -> None:
    """An hour, in the middle of a run: nothing waits for it, and no battle ends before it began."""
    library, back = tmp_path / "clock.so", tmp_path / "back"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, HELPERS / "clock.c"], check=True)
    environment = {**os.environ, "LD_PRELOAD": str(library), "CLOCK_BACK": str(back), "PYTHONPATH": str(HELPERS)}
    ladder = pokeladder.open(tmp_path / "ladder")
    # Some battles are over before it goes back, and others after it.
    limit = tmp_path / "limit"
    limit.write_text("3")
    agents = ["random", "heuristics", f"bots:Waits,folder={tmp_path},name=waits"]
    arguments = ["tournament", *agents, "--battles-per-matchup", "12", "--turn-timeout", "3600"]
    with subprocess.Popen([*prompt_line, *arguments], cwd=tmp_path, env=environment) as process:

        def stored() -> bool:
            assert process.poll() is None
            return bool(ladder.sql("SELECT count(*) FROM battles").fetchall()[0][0])

        wait_until(stored)
        back.touch()
        limit.unlink()
        assert process.wait() == 0
    assert ladder.sql(
        "SELECT count(*), count(DISTINCT game), max(finished_at) - min(finished_at) > INTERVAL 50 MINUTE,"
        " bool_and(finished_at >= started_at) FROM battles"
    ).fetchall() == [(36, 36, True, True)]
    assert ladder.sql("SELECT count(*) FROM elo").fetchall() == [(3,)]


def test_a_worker_that_hangs(ladder: pokeladder.Ladder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = pool.SILENT_SECONDS
    flag = tmp_path / "flag"
    heard: list[str] = []

    def watch(_: pokeladder.Progress) -> None:
        # Only the one that was stopped has so little time, and not the one that takes its place.
        monkeypatch.setattr(pool, "SILENT_SECONDS", 1.0 if flag.exists() and not heard else usual)

    agents = [Agent("stops", bots.StopsItself, {"folder": str(tmp_path)}), "max-power"]
    reached = ladder.tournament(agents, battles_per_matchup=12, workers=1, seed=0, watch=watch, notify=heard.append)
    assert reached.stored == 12
    assert reached.void > 0
    assert ["a worker process died (exit status -9" in line for line in heard] == [True]
