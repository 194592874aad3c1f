"""``kill -9`` of any process of a run, again and again: no battle is lost, and none is there twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import pokeladder
from running import HELPERS, descendants

KINDS = {"worker": "pokeladder.play.embedded.worker", "simulator": "driver.js"}


def kill_one(process: subprocess.Popen[bytes], kind: str) -> bool:
    """Kills the main process, or one of those below it; whether there was one."""
    if kind == "main":
        process.kill()
        process.wait()
        return True
    victims = [pid for pid, command in descendants(process.pid).items() if KINDS[kind] in command]
    try:
        if victims:
            os.kill(random.choice(victims), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return bool(victims)


@pytest.mark.parametrize(
    ("kills", "battles", "at_a_time"),
    [
        pytest.param(7, 200, 8, id="7"),
        pytest.param(200, 30_000, 60, id="200", marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
    ],
)
def test_kills_of_every_kind(
    tmp_path: Path,
    command_line: list[str],
    cli: Callable[..., subprocess.CompletedProcess[str]],
    kills: int,
    battles: int,
    at_a_time: int,
) -> None:
    """A worker process does not end more than a few battles before the last kill, so that each kill meets some."""
    environment = {**os.environ, "PYTHONPATH": str(HELPERS)}
    said = (tmp_path / "said.txt").open("wb")
    ladder = pokeladder.open(tmp_path / "ladder")
    limit = tmp_path / "limit"
    limit.write_text(str(at_a_time))
    opponent = f"bots:Waits,folder={tmp_path},name=waits"
    arguments = ["selfplay", "heuristics", "--opponent", opponent, "--num-battles", str(battles), "--resume"]
    arguments += ["--workers", "2", "--turn-timeout", "3600"]
    killed: Counter[str] = Counter()
    # Each kind often enough, in any order.
    plan = [kind for kind, _ in zip(["worker", "main", "simulator"] * kills, range(kills), strict=False)]
    random.shuffle(plan)
    sessions = 0
    while True:
        assert sessions <= kills + 20, "it makes no headway"
        sessions += 1
        with subprocess.Popen(
            [*command_line, *arguments], cwd=tmp_path, env=environment, stdout=said, stderr=said
        ) as process:
            while process.poll() is None and plan:
                time.sleep(random.uniform(0.1, 2.5))
                if process.poll() is None and kill_one(process, plan[-1]):
                    killed[plan.pop()] += 1
            if not plan:
                limit.unlink(missing_ok=True)
            if process.wait() == 0:
                break
    said.close()
    told = (tmp_path / "said.txt").read_text(errors="replace")
    assert "Traceback" not in told, told[-3000:]
    print(f"{killed.total()} kills ({dict(killed)}), {sessions} sessions")  # noqa: T201
    assert killed.total() == kills
    assert ladder.sql(
        "SELECT count(*), count(DISTINCT battle_id), count(DISTINCT game), count(DISTINCT run_id)"
        " FROM battles WHERE outcome <> 'void'"
    ).fetchall() == [(battles, battles, battles, 1)]
    assert ladder.sql("SELECT count(*), count(DISTINCT (battle_id, side)) FROM trajectories").fetchall() == [
        (2 * battles, 2 * battles)
    ]
    left = cli("check")
    assert left.returncode == 0, left.stdout
    print(left.stdout + left.stderr)  # noqa: T201
