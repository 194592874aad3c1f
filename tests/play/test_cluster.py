"""Workers on a Ray cluster: two nodes' worth of processes on this machine, some of which are killed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pokeladder
from pokeladder.errors import AgentError, SimulatorError, UsageError
from pokeladder.runs.progress import Progress
from running import (
    HELPERS,
    alive,
    battle_rows,
    content,
    descendants,
    hold,
    start_tournament,
    wait_for_battles,
    wait_until,
)

# Has Ray listen on loopback only.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
NODE: dict[str, Any] = {"num_cpus": 1, "node_ip_address": "127.0.0.1"}
AGENTS = ["random", "max-power", "heuristics"]
LONG = ["--battles-per-matchup", "60"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one CPU each."""
    pytest.importorskip("ray", reason="pip install 'pokeladder[ray]'")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(HELPERS))
        # Sockets lie in it, whose paths must be short.
        folder = tempfile.mkdtemp(prefix="pl", dir="/tmp")
        patch.setenv("TMPDIR", folder)
        session = Path(folder, "ray")
        session.mkdir()
        head = {**NODE, "include_dashboard": False, "temp_dir": str(session)}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            cluster.add_node(**NODE)
            cluster.temp = folder
            yield cluster
        finally:
            cluster.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


def outposts() -> int:
    return sum("ray::RayWorker" in command for command in descendants(os.getpid()).values())


def processes() -> dict[int, str]:
    """Workers and simulators under this process, whose ends are those of the actors."""
    found = descendants(os.getpid())
    return {pid: command for pid, command in found.items() if "embedded.worker" in command or "driver.js" in command}


def kill_one(kind: str) -> int:
    """Kills a process of this test whose command line has ``kind`` in it; how many there were."""
    victims = [pid for pid, command in descendants(os.getpid()).items() if kind in command][:1]
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    return len(victims)


def wait_until_gone(started: dict[int, str]) -> None:
    wait_until(lambda: not alive(started) and not outposts())


@pytest.mark.slow
def test_the_same_battles_as_without(cluster: Any, ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    most: list[int] = []
    started: dict[int, str] = {}

    def watch(progress: Progress) -> None:
        most.append(outposts())
        started.update(processes())

    reached = ladder.tournament(AGENTS, battles_per_matchup=20, seed=4, ray=cluster.address, watch=watch)
    assert (reached.scheduled, reached.stored, reached.void) == (60, 60, 0)
    assert max(most) >= 2, "both nodes played"
    wait_until_gone(started)
    alone = pokeladder.open(tmp_path / "alone")
    alone.tournament(AGENTS, battles_per_matchup=20, seed=4)
    assert content(ladder) == content(alone)


@pytest.mark.slow
@pytest.mark.usefixtures("prompt")
def test_workers_and_nodes_that_are_lost_and_join(cluster: Any, ladder: pokeladder.Ladder) -> None:
    said: list[str] = []
    todo = ["kill a worker", "lose a node", "add one"]
    stored = 0
    most = 0

    def watch(progress: Progress) -> None:
        nonlocal stored, most
        if not todo:
            most = max(most, outposts())
        elif progress.stored > stored and outposts() == (1 if todo == ["add one"] else 2):
            stored = progress.stored
            what = todo.pop(0)
            if what == "kill a worker":
                assert kill_one("ray::RayWorker")
            elif what == "lose a node":
                cluster.remove_node(cluster.list_all_nodes()[-1])
            else:
                cluster.add_node(**NODE)

    agents, settings = ["random", "bots:Ponders"], {"battle_format": "gen1randombattle", "battles_per_matchup": 80}
    reached = ladder.tournament(agents, **settings, parallel=8, ray=cluster.address, watch=watch, notify=said.append)
    assert not todo
    assert most >= 2, "the node that joined played"
    assert reached.stored == 80
    assert battle_rows(ladder, "count(*), count(DISTINCT game)", "outcome <> 'void'") == [(80, 80)]
    assert battle_rows(ladder, "DISTINCT end_reason", "outcome = 'void'") == [("crash",)]
    assert battle_rows(ladder, "count(*) = count(DISTINCT battle_id)") == [(True,)]
    assert [line.split(": ")[1].split(" on node")[0] for line in said[:1]] == ["a worker"], said
    assert len([line for line in said if "of the Ray cluster was lost" in line]) == 1, said


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_stopped_and_resumed(cluster: Any, tmp_path: Path, command_line: list[str], how: signal.Signals) -> None:
    limit = hold(tmp_path)
    process = start_tournament(tmp_path, command_line, *LONG, "--ray", cluster.address)
    wait_for_battles(tmp_path, process)
    started = processes()
    assert started
    process.send_signal(how)
    _, said = process.communicate()
    assert process.returncode == (-how if how == signal.SIGKILL else 143), said
    assert ("play the rest with `pokeladder tournament --resume`" in said) == (how == signal.SIGTERM)
    wait_until_gone(started)
    if how == signal.SIGTERM:
        assert not list(Path(cluster.temp).glob("pokeladder-*"))
        return
    resumed = start_tournament(tmp_path, command_line, *LONG, "--resume", "--ray", cluster.address)
    wait_until(lambda: any("embedded.worker" in command for command in processes().values()))
    assert kill_one("ray::RayWorker")
    limit.unlink()
    out, said = resumed.communicate()
    assert resumed.returncode == 0, said
    assert "warning: a worker" in said
    # Ray has nothing to say besides.
    assert all(re.match(r"Run |warning: | |\n|\d+/180 battles", line) for line in said.splitlines(True)), said
    assert len(out.splitlines()) == 4, out
    ladder = pokeladder.open(tmp_path / "ladder")
    assert battle_rows(ladder, "count(*), count(DISTINCT game), count(DISTINCT run_id)", "outcome <> 'void'") == [
        (180, 180, 1)
    ]


@pytest.mark.slow
def test_agents_that_misbehave(cluster: Any, ladder: pokeladder.Ladder) -> None:
    said: list[str] = []
    reached = ladder.tournament(
        ["bots:Crashes", "bots:Raises", "random"], battles_per_matchup=2, ray=cluster.address, notify=said.append
    )
    assert reached.stored == 6
    assert battle_rows(ladder, "count(*)", "end_reason = 'agent_crash'") == [(4,)]
    assert len([line for line in said if "agent Raises raised: ValueError: no idea" in line]) == 1, said
    logs = "".join(path.read_text() for path in (ladder.store.folder / "logs" / reached.run_id).glob("*.log"))
    assert "ValueError: no idea" in logs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("agent", "message"),
    [
        ("bots:Unbuildable", r"node .*: agent Unbuildable .*weights are missing"),
        ("nowhere:Bot", r"node .*: cannot import nowhere of agent nowhere:Bot"),
    ],
)
def test_agents_that_cannot_be_built(cluster: Any, ladder: pokeladder.Ladder, agent: str, message: str) -> None:
    with pytest.raises(AgentError, match=message):
        ladder.tournament(["random", agent], ray=cluster.address)


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "nonsense", "127.0.0.1:none"])
def test_a_cluster_that_is_not_there(ladder: pokeladder.Ladder, address: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(SimulatorError, match=f"cannot use the Ray cluster at {address}: .*; start one with"):
        ladder.tournament(["random", "heuristics"], ray=address)


def test_a_cluster_plays_no_server_battles(ladder: pokeladder.Ladder) -> None:
    with pytest.raises(UsageError, match="leave out --ray or --venue server"):
        ladder.tournament(["random", "heuristics"], ray="auto", venue="server")
    assert ladder.sql("SELECT count(*) FROM runs").fetchall() == [(0,)]


def test_without_ray(ladder: pokeladder.Ladder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SimulatorError, match=r"pip install 'pokeladder\[ray\]'"):
        ladder.tournament(["random", "heuristics"], ray="auto")
    assert ladder.sql("SELECT count(*) FROM runs").fetchall() == [(0,)]
