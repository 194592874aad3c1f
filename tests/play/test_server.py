"""The server venue, on real servers with real processes: what is played and stored, and what goes wrong."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.sync.client import connect

import bots
import pokeladder
from metamon_data import rows
from pokeladder import Agent, retries
from pokeladder.agents.programs import Limits
from pokeladder.errors import AgentError, InterruptedRunError, SimulatorError, StoreError, UsageError
from pokeladder.play import results
from pokeladder.play.messages import Attempt, ReconstructJob
from pokeladder.play.server import arena, spectator
from pokeladder.play.server.sessions import chunks
from pokeladder.records import Game
from pokeladder.runs.teams import team_files
from pokeladder.simulator import channel
from pokeladder.simulator.process import Inquiry
from pokeladder.simulator.server import ServerProcess
from pokeladder.simulator.setup import Simulator
from pokeladder.system.processes import Child
from running import HELPERS, processes_with, slowly, wait_until

Rows = list[tuple[Any, ...]]
# Those that behave take a tenth of a second for their first decision, and must not exceed it on a busy machine.
TURN_SECONDS = 6
PLAIN_BOT = f"{shlex.quote(sys.executable)} {shlex.quote(str(HELPERS / 'plain_bot.py'))}"
PLAIN_BOT += " {username} {server} {format} {battles} {role} {opponent}"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[ServerProcess]:
    """The servers that tournaments start."""
    servers: list[ServerProcess] = []

    class Noted(ServerProcess):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            servers.append(self)

    monkeypatch.setattr(arena, "ServerProcess", Noted)
    return servers


def start_timeouts_count_when(monkeypatch: pytest.MonkeyPatch, due: Callable[[Path], bool]) -> None:
    """A process that does not log in is given up only if ``due`` says so of its log: a slow machine is no reason."""

    class Observed(arena.AgentProcess):
        @property
        def limits(self) -> Limits:
            return self.agent.limits if due(self.log) else Limits(start_timeout=3600)

    monkeypatch.setattr(arena, "AgentProcess", Observed)


def server_logs(folder: Path) -> dict[str, dict[str, Any]]:
    """What the server itself has written of each battle, by room."""
    logs = (json.loads(path.read_text()) for path in (folder / "logs").rglob("*.log.json"))
    return {log["roomid"]: log for log in logs}


def pokemon(packed: str) -> list[list[str]]:
    """Name, species, item, ability, moves, nature and EVs of each; the server writes perfect IVs as none."""
    return [one.split("|")[:7] for one in packed.split("]")]


def agents_by_user(ladder: pokeladder.Ladder, run: str) -> dict[str, str]:
    """Which agent each process played for, as its log says."""
    logs = (ladder.store.folder / "logs" / run).glob("pl*.log")
    return {path.stem: re.match(r"agent (.+) in the role", path.read_text())[1] for path in logs}  # type: ignore[index]


def test_a_tournament_of_players_and_a_program(
    ladder: pokeladder.Ladder, tmp_path: Path, started: list[ServerProcess]
) -> None:
    """Every battle once, names and winners as the server's logs have them, nobody met anybody else, nothing left."""
    ladder.agents.add(
        "plain ~ bot", {"kind": "command", "command": f"{PLAIN_BOT} {{team_file}}", "roles": {"ladder": "search"}}
    )
    heard: list[str] = []
    reached = ladder.tournament(
        ["heuristics", "random", "plain ~ bot"],
        battles_per_matchup=20,
        venue="server",
        workers=1,
        parallel=3,
        seed=0,
        server_dir=tmp_path / "server",
        notify=heard.append,
    )
    assert (reached.stored, reached.void, heard) == (60, 0, [])

    played = rows(
        ladder,
        "SELECT room, p1, p2, p1_user, p2_user, winner, turns, end_reason, p1_packed, p2_packed, seed, log"
        " FROM battles JOIN server_battles USING (battle_id) JOIN input_logs USING (battle_id)",
    )
    logs = server_logs(tmp_path / "server")
    assert len(played) == len(logs) == 60
    agents = agents_by_user(ladder, reached.run_id)
    for room, p1, p2, p1_user, p2_user, winner, turns, end_reason, p1_packed, p2_packed, seed, log in played:
        said = logs[room]
        assert (said["p1"], said["p2"], said["turns"], said["seed"]) == (p1_user, p2_user, turns, seed)
        assert said["winner"] == {"p1": p1_user, "p2": p2_user, None: ""}[winner]
        assert (agents[p1_user], agents[p2_user]) == (p1, p2)
        assert end_reason in ("normal", "turn_limit", "endless_clause")
        start, *players = said["inputLog"][:3]
        assert json.loads(start.removeprefix(">start "))["seed"] == seed
        for line, packed in zip(players, (p1_packed, p2_packed), strict=True):
            assert pokemon(json.loads(line[len(">player p1 ") :])["team"]) == pokemon(packed)
        assert f"|win|{said['winner']}" in log.split("\n") or winner is None

    assert Counter((min(p1, p2), max(p1, p2)) for _, p1, p2, *_ in played) == {
        ("heuristics", "plain ~ bot"): 20,
        ("heuristics", "random"): 20,
        ("plain ~ bot", "random"): 20,
    }
    assert rows(
        ladder, "SELECT count(*), count(DISTINCT battle_id), bool_and(NOT used_struggle IS NULL) FROM trajectories"
    ) == [(120, 60, True)]
    # Each result is what a fresh simulator makes of the input log.
    for (battle_id,) in rows(ladder, "SELECT battle_id FROM battles ORDER BY battle_id LIMIT 5"):
        assert ladder.replay(battle_id).agrees
    wait_until(lambda: not processes_with(str(ladder.store.folder)))
    wait_until(lambda: not processes_with(str(tmp_path / "server")))
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", started[0].port)) != 0


def test_deterministic_agents_play_the_same_battles_on_both_venues(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    """Sides, teams and seeds are those of the schedule, and trajectories are the same byte for byte."""
    elsewhere = pokeladder.open(tmp_path / "elsewhere")
    agents = [Agent("first", bots.Strongest), Agent("second", bots.Strongest)]
    question = (
        "SELECT battles.format, game, p1, p2, p1_team, p2_team, seed, pair_id[-6:], winner, turns, end_reason,"
        " p1_steps, p2_steps, p1_left, p2_left, list(t.digest ORDER BY side)"
        " FROM battles JOIN internal.trajectory_files AS t USING (battle_id, batch)"
        " GROUP BY ALL ORDER BY battles.format, game"
    )
    for battle_format, battles in (("gen1ou", 2), ("gen9randombattle", 2)):
        settings = {"battles_per_matchup": battles, "battle_format": battle_format, "workers": 1, "seed": 0}
        ladder.tournament(agents, venue="server", **settings)
        elsewhere.tournament(agents, **settings)
    there, here = rows(ladder, question), rows(elsewhere, question)
    assert len(here) == 4
    assert there == here


def test_trajectories_made_of_input_logs_are_those_recorded(
    ladder: pokeladder.Ladder, simulator: Simulator, tmp_path: Path
) -> None:
    ladder.tournament(["random", "heuristics", Agent("nonsense", bots.Illegal)], battles_per_matchup=2, max_invalid=3)
    battles = rows(
        ladder,
        "SELECT game, input_log, list(invalid_steps ORDER BY side), list(document ORDER BY side) FROM battles"
        " JOIN input_logs USING (battle_id) JOIN internal.trajectory_files USING (battle_id)"
        " JOIN documents USING (trajectory_id)"
        " GROUP BY ALL",
    )
    assert len(battles) == 6
    reconstructor = Child("pokeladder.play.server.reconstruct", log=tmp_path / "reconstruct.log")
    reconstructor.send(simulator)
    try:
        for number, log, invalid, documents in battles:
            reconstructor.send(ReconstructJob(number, "gen1ou", 1, log, invalid))
            p1, p2 = reconstructor.receive().trajectories
            assert [pokeladder.metamon.files.lz4.frame.decompress(side.frame) for side in (p1, p2)] == documents
            assert [list(side.invalid_steps) for side in (p1, p2)] == invalid
    finally:
        reconstructor.end()


@pytest.mark.slow
def test_the_same_pair_on_both_venues(ladder: pokeladder.Ladder) -> None:
    for venue in ("embedded", "server"):
        ladder.tournament(["heuristics", "max-power"], battles_per_matchup=200, venue=venue)
    found = {}
    for venue in ("embedded", "server"):
        (shown,) = ladder.matchups(where=f"venue = '{venue}'").filter("agent = 'heuristics'").fetchall()
        found[venue] = dict(zip(ladder.matchups().columns, shown, strict=True))
    for venue, row in found.items():
        interval = f"{row['win_rate_low']:.3f} to {row['win_rate_high']:.3f}"
        print(f"{venue}: {row['games']} games, {row['win_rate']:.3f} ({interval})")  # noqa: T201
    embedded, server = found["embedded"], found["server"]
    assert embedded["games"] == server["games"] == 200
    assert embedded["win_rate_low"] < server["win_rate"] < embedded["win_rate_high"]
    assert server["win_rate_low"] < embedded["win_rate"] < server["win_rate_high"]


@pytest.mark.parametrize("roles", [slowly(["acceptor"]), {"challenger": "challenge"}])
def test_programs_that_challenge_or_accept(ladder: pokeladder.Ladder, roles: Any) -> None:
    ladder.agents.add("bot", {"kind": "command", "command": PLAIN_BOT, "roles": roles})
    reached = ladder.tournament(
        ["bot", "random"], battles_per_matchup=4, battle_format="gen4randombattle", venue="server", workers=1
    )
    assert (reached.stored, reached.void) == (4, 0)


def test_one_that_must_know_its_team(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    """Each of its processes finds one team, and the server has it play that one."""
    (tmp_path / "teams").mkdir()
    for file in team_files("standard", "gen1ou")[:2]:
        shutil.copy(file, tmp_path / "teams")
    command = f"{PLAIN_BOT} {{team_file}}"
    ladder.agents.add("bot", {"kind": "command", "command": command, "roles": ["acceptor"], "fixed_team": True})
    reached = ladder.tournament(
        ["bot", "random"], battles_per_matchup=4, venue="server", workers=1, team_set=str(tmp_path / "teams")
    )
    assert (reached.stored, reached.void) == (4, 0)
    logs = ladder.store.folder / "logs" / reached.run_id
    played = rows(
        ladder,
        "SELECT if(p1 = 'bot', p1_user, p2_user), if(p1 = 'bot', p1_team, p2_team)"
        " FROM battles JOIN server_battles USING (battle_id)",
    )
    assert len({team for _, team in played}) == len({user for user, _ in played}) == 2
    for user, team in played:
        (line, *_) = (logs / f"{user}.log").read_text().splitlines()
        assert Path(line.split()[-1]).stem == Path(team).name


@given(
    st.lists(st.tuples(*[st.sampled_from("ab")] * 2, *[st.sampled_from("xyz")] * 2)), st.integers(1, 5), st.booleans()
)
def test_sessions_have_each_game_once_and_fixed_teams(drawn: Any, parallel: int, both: bool) -> None:
    plays = [Attempt(Game(index, None, p1, p2, t1, t2, ""), 0) for index, (p1, p2, t1, t2) in enumerate(drawn)]
    fixed = {"a", "b"} if both else {"a"}
    parts = list(chunks(plays, parallel, fixed))
    assert sorted(play.game.index for part in parts for play in part) == list(range(len(plays)))
    for part in parts:
        assert part
        assert len({tuple(sorted((play.game.p1, play.game.p2))) for play in part}) == 1
        for agent in fixed:
            sides = [((play.game.p1, play.game.p1_team), (play.game.p2, play.game.p2_team)) for play in part]
            assert len({tuple(team for name, team in side if name == agent) for side in sides}) == 1


def test_two_that_cannot_meet(ladder: pokeladder.Ladder) -> None:
    for name, roles in (("a", ["acceptor"]), ("b", ["ladder"])):
        ladder.agents.add(name, {"kind": "command", "command": PLAIN_BOT, "roles": roles})
    with pytest.raises(AgentError, match="a can be acceptor and b can be ladder, so they cannot meet"):
        ladder.tournament(["a", "b"], battles_per_matchup=2, venue="server", workers=1)


def test_programs_need_a_server(ladder: pokeladder.Ladder) -> None:
    ladder.agents.add("a", {"kind": "command", "command": PLAIN_BOT})
    with pytest.raises(UsageError, match="agent a is a program, which plays on a server: add --venue server"):
        ladder.tournament(["a", "random"], battles_per_matchup=2)


def test_a_battle_killed_in_the_middle_is_played_again(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    heard: list[str] = []
    killed = Agent("killed", bots.KilledOnce, {"folder": str(tmp_path)})
    reached = ladder.tournament(
        [killed, "random"], battles_per_matchup=4, venue="server", workers=1, parallel=1, seed=0, notify=heard.append
    )
    assert (reached.stored, reached.void) == (4, 1)
    (told,) = heard
    assert "agent killed ended with exit status -9 before 4 of its battles were over" in told
    assert rows(
        ladder, "SELECT attempt, outcome = 'void', end_reason FROM battles WHERE game = 0 ORDER BY attempt"
    ) == [
        (0, True, "crash"),
        (1, False, "normal"),
    ]


def test_an_agent_that_never_joins_ends_its_matchups_and_no_others(
    ladder: pokeladder.Ladder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def due(log: Path) -> bool:
        # The first two must be there at the same time.
        dozing = [one for one in log.parent.glob("pl*.log") if "dozes off" in one.read_text()[1:].partition("\n")[2]]
        return log in dozing and len(dozing) >= 2

    start_timeouts_count_when(monkeypatch, due)
    command = "bash -c 'echo {username} dozes off on $CUDA_VISIBLE_DEVICES; sleep 1000 # {work_dir}'"
    ladder.agents.add(
        "sleeper",
        {"kind": "command", "command": command, "roles": ["acceptor"], "start_timeout": 0.5, "gpu": True},
    )
    heard: list[str] = []
    reached = ladder.tournament(
        ["sleeper", "random", "max-power"],
        battles_per_matchup=2,
        venue="server",
        workers=1,
        parallel=3,
        gpus=["0", "1"],
        seed=0,
        notify=heard.append,
    )
    assert (reached.stored, reached.void) == (2, 4)
    assert len(heard) == 3
    assert {found for line in heard for found in re.findall(r"dozes off on (\d)", line)} == {"0", "1"}
    assert all("agent sleeper did not log in within 0.5 s: pl" in line and "dozes off" in line for line in heard)
    assert "it has failed 3 times in a row, so its other battles stay void" in heard[-1]
    assert rows(ladder, "SELECT DISTINCT end_reason, 'sleeper' IN (p1, p2) FROM battles WHERE outcome = 'void'") == [
        ("agent_dead", True)
    ]
    assert not processes_with(str(ladder.store.folder))


@pytest.mark.parametrize("role", ["acceptor", slowly("ladder")])
def test_one_that_logs_in_and_does_nothing_is_the_one_to_blame(
    ladder: pokeladder.Ladder, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    monkeypatch.setattr(retries, "AGENT_FAILURES", 1)
    start_timeouts_count_when(monkeypatch, lambda _: False)
    command = shlex.join([sys.executable, str(HELPERS / "idle_bot.py")]) + " {username} {server}"
    ladder.agents.add("idle", {"kind": "command", "command": command, "roles": [role], "start_timeout": 1})
    heard: list[str] = []
    reached = ladder.tournament(
        ["idle", "random"], battles_per_matchup=2, venue="server", workers=1, seed=0, notify=heard.append
    )
    assert (reached.stored, reached.void) == (0, 2)
    (told,) = heard
    assert "agent idle began no battle within 1 s" in told


def test_an_agent_that_stops_answering_loses_and_is_replaced(
    ladder: pokeladder.Ladder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unhurried(arena.Session):
        """Has all the time for its first battle."""

        def _idle(self, now: float) -> dict[str, str]:
            return super()._idle(now) if self.suspect else {}

    monkeypatch.setattr(arena, "Session", Unhurried)
    start_timeouts_count_when(monkeypatch, lambda _: False)
    heard: list[str] = []
    stuck = Agent("stuck", bots.Sleeps, limits=Limits(start_timeout=1))
    reached = ladder.tournament(
        [stuck, "random"],
        battles_per_matchup=2,
        venue="server",
        workers=1,
        parallel=1,
        turn_timeout=TURN_SECONDS,
        seed=0,
        notify=heard.append,
    )
    assert (reached.stored, reached.void) == (2, 0)
    assert "agent stuck began no battle within" in heard[0]
    assert rows(ladder, "SELECT DISTINCT end_reason, if(winner = 'p1', p1, p2) FROM battles") == [("timeout", "random")]


def test_one_that_leaves_in_the_middle_loses_for_it(ladder: pokeladder.Ladder) -> None:
    agents = [Agent("away", bots.Leaves), "random", Agent("gives up", bots.Forfeits)]
    settings = {"battles_per_matchup": 1, "venue": "server", "workers": 1, "parallel": 3}
    reached = ladder.tournament(agents, **settings, turn_timeout=TURN_SECONDS)
    assert reached.stored == 3
    assert rows(ladder, "SELECT end_reason, if(winner = 'p1', p2, p1) AS loser FROM battles ORDER BY ALL") == [
        ("disconnect", "away"),
        ("forfeit", "gives up"),
        ("forfeit", "gives up"),
    ]


@pytest.mark.parametrize(
    ("number", "what"),
    [(signal.SIGKILL, "the server died (exit status -9)"), (signal.SIGSTOP, "the server stopped answering")],
)
def test_a_server_that_ends_or_stands_still(
    ladder: pokeladder.Ladder,
    tmp_path: Path,
    started: list[ServerProcess],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    what: str,
) -> None:
    usual = channel.SILENT_SECONDS
    heard: list[str] = []
    flag = tmp_path / "flag"

    def hit(_: pokeladder.Progress) -> None:
        # A battle is under way for as long as one of its agents sleeps.
        hit_now = flag.exists() and len(started) == 1
        if hit_now:
            os.kill(started[0].pid, number)
        # A server that died is told by its pipe, which may take longer on a busy machine.
        hurried = hit_now and number == signal.SIGSTOP
        monkeypatch.setattr(channel, "SILENT_SECONDS", 1.0 if hurried else usual)

    reached = ladder.tournament(
        [Agent("sleeper", bots.SleepsOnce, {"folder": str(tmp_path)}), "max-power"],
        battles_per_matchup=8,
        venue="server",
        workers=1,
        parallel=2,
        trajectories=False,
        seed=0,
        watch=hit,
        notify=heard.append,
    )
    assert len(started) == 2
    assert reached.stored == 8
    assert reached.void > 0
    assert rows(ladder, "SELECT count(*), count(DISTINCT game) FROM battles WHERE outcome <> 'void'") == [(8, 8)]
    assert heard == [f"warning: {what}: its battles are void and are played again"]


def test_a_simulator_of_the_server_that_dies(
    ladder: pokeladder.Ladder, tmp_path: Path, started: list[ServerProcess]
) -> None:
    """The server itself goes on; the battles that were in it are void."""
    killed: list[int] = []
    heard: list[str] = []
    flag = tmp_path / "flag"

    def kill(_: pokeladder.Progress) -> None:
        # A battle is in it for as long as one of its agents sleeps.
        if flag.exists() and not killed:
            children = psutil.Process(started[0].pid).children()
            (simulator,) = (child for child in children if any("room-battle" in word for word in child.cmdline()))
            simulator.kill()
            killed.append(simulator.pid)

    reached = ladder.tournament(
        [Agent("sleeper", bots.SleepsOnce, {"folder": str(tmp_path)}), "max-power"],
        battles_per_matchup=4,
        venue="server",
        parallel=1,
        workers=1,
        trajectories=False,
        seed=0,
        watch=kill,
        notify=heard.append,
    )
    assert (reached.stored, len(started)) == (4, 1)
    assert ["aborted battle" in line for line in heard] == [True]


def test_a_port_that_is_taken(ladder: pokeladder.Ladder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SimulatorError, match=f"port {port} is in use: .* or name another port with --port"):
            ladder.tournament(["random", "max-power"], battles_per_matchup=2, venue="server", workers=1, port=port)
    assert rows(ladder, "SELECT count(*) FROM battles") == [(0,)]


@pytest.mark.slow
def test_a_user_name_that_is_refused(
    ladder: pokeladder.Ladder, monkeypatch: pytest.MonkeyPatch, started: list[ServerProcess]
) -> None:
    """Somebody has the name already; the agent gets another one."""
    monkeypatch.setattr(arena.secrets, "token_hex", lambda _: "abc123")
    heard: list[str] = []
    squatters = []
    start = arena.ServerProcess

    def start_and_squat(*args: Any, **kwargs: Any) -> ServerProcess:
        server = start(*args, **kwargs)
        squatter = connect(server.url)
        squatters.append(squatter)
        log_in(squatter, "plabc123n1")
        return server

    monkeypatch.setattr(arena, "ServerProcess", start_and_squat)
    reached = ladder.tournament(
        ["random", "max-power"], battles_per_matchup=2, venue="server", workers=1, seed=0, notify=heard.append
    )
    for squatter in squatters:
        squatter.close()
    assert (reached.stored, reached.void) == (2, 0)
    assert "was refused the user name plabc123n1 by the server: Someone is already using the name" in heard[0]


def log_in(websocket: Any, user: str) -> None:
    for message in websocket:
        if message.startswith("|challstr|"):
            websocket.send(f"|/trn {user},0,")
        elif message.startswith(f"|updateuser| {user}"):
            return


@pytest.fixture
def practice(simulator: Simulator, tmp_path: Path) -> Iterator[ServerProcess]:
    """A server that somebody else has started."""
    with ServerProcess(
        simulator, log=tmp_path / "practice.log", arranged=False, folder=tmp_path / "practice"
    ) as server:
        yield server


def test_a_server_that_runs_already(
    ladder: pokeladder.Ladder, practice: ServerProcess, tmp_path: Path, simulator: Simulator
) -> None:
    ladder.agents.add(
        "laddering", {"kind": "command", "command": f"{PLAIN_BOT} {{team_file}}", "roles": {"ladder": "search"}}
    )
    heard: list[str] = []
    reached = ladder.tournament(
        ["random", "laddering", "heuristics"],
        battles_per_matchup=4,
        server_url=practice.url,
        parallel=3,
        seed=0,
        notify=heard.append,
    )
    assert (reached.stored, reached.void, heard) == (12, 0, [])
    logs = server_logs(tmp_path / "practice")
    agents = agents_by_user(ladder, reached.run_id)
    played = rows(
        ladder,
        "SELECT room, p1, p2, p1_user, p2_user, winner, turns, seed, pair_id, log"
        " FROM battles JOIN server_battles USING (battle_id)",
    )
    assert len(played) == len(logs) == 12
    for room, p1, p2, p1_user, p2_user, winner, turns, seed, pair_id, log in played:
        said = logs[room]
        assert (said["p1"], said["p2"], said["turns"]) == (p1_user, p2_user, turns)
        assert said["winner"] == {"p1": p1_user, "p2": p2_user, None: ""}[winner]
        assert (agents[p1_user], agents[p2_user]) == (p1, p2)
        assert (seed, pair_id) == (None, None)
        assert "|start" in log
    with pytest.raises(StoreError, match="has no input log"):
        ladder.replay(rows(ladder, "SELECT min(battle_id) FROM battles")[0][0])


FLINGER = "|Shuckle|leppaberry|{}|fling,splash,celebrate|||||||"
IDLE = "|Shuckle|||splash|||||||]|Onix|||splash|||||||"
TRANSFORMER = "|Ditto|||transform|||||||"
BOMBER = "|Electrode|||explosion|||||||"
TARGET = "|Rattata|||splash||||||1|"


def flung(first: str, second: str) -> tuple[str, str, str, list[tuple[str, str]]]:
    """Both Pokémon eat a Leppa Berry that the other one has thrown, and then do nothing, past turn 100."""
    rule = "gen9customgame@@@Endless Battle Clause"
    idle = [("move splash", "move splash")] * 60 + [("move celebrate", "move celebrate")] * 40
    return rule, FLINGER.format(first), FLINGER.format(second), [("move fling", "move fling"), *idle]


@pytest.mark.parametrize(
    ("battle", "winner", "turns", "reason"),
    [
        pytest.param(
            ("gen9customgame", IDLE, IDLE, [("switch 2", "switch 2")] * 1000), None, 1001, "turn_limit", id="turn limit"
        ),
        pytest.param(flung("gluttony", "gluttony"), None, 101, "endless_clause", id="endless, told by nothing"),
        pytest.param(flung("harvest", "harvest"), None, 101, "endless_clause", id="endless by both"),
        pytest.param(flung("harvest", "gluttony"), "p2", 101, "endless_clause", id="endless by one"),
        pytest.param(("gen1customgame", TRANSFORMER, TRANSFORMER, []), None, 1, "endless_clause", id="no move at all"),
        pytest.param(("gen9customgame", BOMBER, TARGET, [("move 1", "move 1")]), "p2", 1, "normal", id="both faint"),
        pytest.param(("gen1customgame", BOMBER, TARGET, [("move 1", "move 1")]), None, 1, "normal", id="a tie"),
        pytest.param(("gen9customgame", BOMBER, IDLE, [("move 1", "move 1")]), "p2", 1, "normal", id="one faints"),
    ],
)
def test_how_a_battle_ended_as_a_spectator_sees_it(
    inquiry: Inquiry,
    battle: tuple[str, str, str, list[tuple[str, str]]],
    winner: str | None,
    turns: int,
    reason: str,
) -> None:
    """Servers that others run tell no more than the log; the simulator, which plays it, knows."""
    format_id, p1, p2, choices = battle
    lines = [f'>start {{"formatid":"{format_id}","seed":"1,2,3,4"}}']
    lines += [f">player {side} {json.dumps({'name': side, 'team': team})}" for side, team in (("p1", p1), ("p2", p2))]
    lines += [f">{side} team 12" for side in ("p1", "p2")]
    lines += [f">{side} {choice}" for pair in choices for side, choice in zip(("p1", "p2"), pair, strict=True)]
    played = inquiry.replay("\n".join(lines))
    record = spectator.record_of(played["log"].split("\n"), 0.0)
    assert (played["ended"], played["winner"], played["turns"]) == (True, winner, turns)
    assert (record["winner"], record["turns"], results.reported_end_reason(record)) == (winner, turns, reason)


def test_a_server_that_cannot_be_reached(ladder: pokeladder.Ladder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with pytest.raises(
        SimulatorError, match=f"the server ws://127.0.0.1:{port}/x cannot be used: nobody answers there; start one"
    ):
        ladder.tournament(["random", "max-power"], battles_per_matchup=2, server_url=f"ws://127.0.0.1:{port}/x")


def test_stopped_before_anything_could_play(prompt_line: list[str], tmp_path: Path) -> None:
    """What never began is no run."""
    ladder = pokeladder.open(tmp_path / "ladder")
    with subprocess.Popen(
        [*prompt_line, "tournament", "random", "bots:NeverBuilt", "--venue", "server"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(HELPERS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        # The log is there as soon as the server is started, long before it answers.
        wait_until(lambda: list((ladder.store.folder / "logs").glob("*/server.log")) or run.poll() is not None)
        run.send_signal(signal.SIGINT)
        out, said = run.communicate()
    assert (run.returncode, out) == (130, "")
    assert said.endswith("Interrupted: stopped before the first battle: there is nothing to resume\n")
    assert rows(ladder, "SELECT count(*) FROM runs") == [(0,)]
    wait_until(lambda: not processes_with(str(tmp_path)))


def test_killed_and_resumed(
    cli: Callable[..., subprocess.CompletedProcess[str]], prompt_line: list[str], tmp_path: Path
) -> None:
    """After ``kill -9`` no process is left, and the rest of the run plays each battle once."""
    flag = tmp_path / "flag"
    # One of its battles is not over before the run is killed.
    sleeper = f"bots:SleepsOnce,folder={tmp_path},name=sleeper"
    arguments = ["tournament", "random", "max-power", sleeper, "--battles-per-matchup", "6", "--venue", "server"]
    arguments += ["--no-trajectories", "--parallel", "3", "--turn-timeout", "3600"]
    ladder = pokeladder.open(tmp_path / "ladder")
    with subprocess.Popen(
        [*prompt_line, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(HELPERS)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as run:
        stored = "SELECT count(*) FROM battles"
        wait_until(lambda: run.poll() is not None or (flag.exists() and rows(ladder, stored)[0][0] >= 2))
        # Those of this run alone: what they write to lies in its store.
        assert processes_with(str(tmp_path))
        servers = [line.split()[-2] for line in processes_with("server/index.js") if ppid_of(line) == run.pid]
        assert len(servers) == 1
        run.kill()
    wait_until(lambda: not processes_with(str(tmp_path)))
    wait_until(lambda: not processes_with(servers[0]))
    before = rows(ladder, "SELECT game FROM battles")
    assert 2 <= len(before) < 18
    resumed = cli("tournament", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert rows(ladder, "SELECT count(*), count(DISTINCT game), count(DISTINCT run_id) FROM battles") == [(18, 18, 1)]
    wait_until(lambda: not processes_with(str(tmp_path)))


def ppid_of(command: str) -> int:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().replace(b"\0", b" ").decode(errors="replace") == command:
                return int((path.parent / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    return 0


@pytest.mark.parametrize("venue", ["embedded", "server"])
def test_self_play(ladder: pokeladder.Ladder, venue: Any) -> None:
    """Both sides are the agent's, both are recorded, and nothing of it is rated."""
    reached = ladder.selfplay(Agent("strong", bots.Strongest), num_battles=6, parallel_instances=2, venue=venue)
    assert reached.stored == 6
    assert rows(ladder, "SELECT DISTINCT kind, venue, p1, p2, pair_id FROM battles") == [
        ("selfplay", venue, "strong", "strong", None)
    ]
    assert rows(ladder, "SELECT count(DISTINCT seed), count(DISTINCT (p1_team, p2_team)) > 1 FROM battles") == [
        (6, True)
    ]
    assert rows(ladder, "SELECT side, count(*) FROM trajectories GROUP BY ALL ORDER BY ALL") == [("p1", 6), ("p2", 6)]
    assert rows(ladder, "SELECT count(*) FROM rated_battles") == [(0,)]


@pytest.mark.usefixtures("prompt")
def test_self_play_goes_on(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    limit = tmp_path / "limit"
    limit.write_text("6")

    def stop(progress: pokeladder.Progress) -> None:
        if progress.stored >= 5:
            raise KeyboardInterrupt

    waits = Agent("waits", bots.Waits, {"folder": str(tmp_path)})
    with pytest.raises(InterruptedRunError, match="play the rest with `pokeladder selfplay --resume`"):
        ladder.selfplay(waits, "max-power", num_battles=30, workers=1, turn_timeout=3600, watch=stop)
    limit.unlink()
    with pytest.raises(UsageError, match="has no unfinished tournament"):
        ladder.tournament(resume=True)
    ladder.selfplay(resume=True)
    assert rows(ladder, "SELECT count(*), count(DISTINCT game), count(DISTINCT pair_id) FROM battles") == [(30, 30, 15)]
    with pytest.raises(UsageError, match="self-play needs an agent"):
        ladder.selfplay()


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["Raises", "Exits", "Nonsense", "Illegal", "SendsForfeit"])
def test_an_agent_that_misbehaves_fares_alike_on_both_venues(tmp_path: Path, agent: str) -> None:
    found = []
    for venue in ("embedded", "server"):
        ladder = pokeladder.open(tmp_path / venue)
        ladder.tournament(
            [f"bots:{agent},name=odd", "random"], battles_per_matchup=2, workers=1, max_invalid=4, venue=venue
        )
        found.append(
            rows(
                ladder,
                "SELECT end_reason, winner = CASE p1 WHEN 'odd' THEN 'p2' ELSE 'p1' END,"
                " CASE p1 WHEN 'odd' THEN p1_invalid ELSE p2_invalid END FROM battles ORDER BY ALL",
            )
        )
        assert rows(ladder, "SELECT count(*) FROM trajectories") == [(4,)]
    assert found[0] == found[1]
