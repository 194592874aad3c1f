"""Agents that are registered or discovered: the file, the commands, checkpoints; starting and ending programs."""

from __future__ import annotations

import os
import pickle
import shlex
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import assume, given
from hypothesis import strategies as st

import pokeladder
from metamon_data import rows
from pokeladder import Agent, retries
from pokeladder.agents.programs import ROLES, Program, meet, parse_command
from pokeladder.agents.specs import parse_agent
from pokeladder.errors import AgentError, UsageError
from pokeladder.metamon import policy_servers
from pokeladder.metamon.checkpoints import scan
from pokeladder.play.messages import AgentTask
from pokeladder.play.server.agent_process import SUPERVISOR, AgentProcess
from pokeladder.registry import Registry
from running import HELPERS, METAMON, processes_with, slowly, wait_until

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "agents.toml")


def test_commands(cli: Cli, tmp_path: Path) -> None:
    added = cli("agents", "add", "deep", "--player", "bots:Parametrised", "--parameter", "depth=3")
    assert added.stderr == f"Registered deep in {tmp_path}/ladder/agents.toml.\n"
    command = "my-bot {username} {role} {{literally}}"
    cli("agents", "add", "mine", "--command", command, "--role", "ladder=search", "--env", "A=b=c", "--gpu")
    assert tomllib.loads((tmp_path / "ladder" / "agents.toml").read_text())["agents"] == {
        "deep": {"kind": "player", "target": "bots:Parametrised", "parameters": {"depth": 3}},
        "mine": {
            "kind": "command",
            "command": command,
            "gpu": True,
            "environment": {"A": "b=c"},
            "roles": {"ladder": "search"},
        },
    }
    listed = cli("agents").stdout
    assert cli("agents", "list").stdout == listed
    assert "deep        player    bots:Parametrised" in listed
    assert "there is no program my-bot" in listed
    assert cli("agents", "remove", "mine").returncode == 0
    assert "mine" not in cli("agents").stdout
    again = cli("agents", "remove", "mine")
    assert (again.returncode, again.stderr) == (
        1,
        f"Error: no agent mine is registered in {tmp_path}/ladder/agents.toml\n",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x"], "give one of --player, --command, --model and --checkpoint"),
        (["x", "--player", "a:B", "--command", "c"], "give one of"),
        (
            ["x", "--command", "bot {username} {sever}"],
            "has the unknown placeholder {sever}: there are {username}, {ser",
        ),
        (["x", "--command", "bot {username}", "--folder", "nowhere"], "--folder: there is no "),
        (["x", "--command", "bot"], "has no {username}: add it"),
        (["x", "--command", "bot {username"], "cannot read the command of agent x"),
        (["x", "--command", "bot {username}", "--role", "judge"], "agent x has the unknown role judge"),
        (["x", "--command", "bot {username}", "--env", "novalue"], "--env takes KEY=VALUE"),
        (
            ["x", "--checkpoint", "run@2"],
            "agent x needs metamon: say which interpreter has it with `pokeladder agents meta",
        ),
    ],
)
def test_what_cannot_be_registered(cli: Cli, tmp_path: Path, arguments: list[str], message: str) -> None:
    refused = cli("agents", "add", *arguments)
    assert refused.returncode in (1, 2)
    assert message in " ".join(refused.stderr.split())
    assert not (tmp_path / "ladder" / "agents.toml").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[agents.x]\nkind = 'robot'",
            "agent x: kind = 'robot' is unknown: use one of player, command, metamon",
        ),
        ("[agents.x]\nkind = ['player']", "agent x: kind = ['player'] is unknown: use one of player, command, metamon"),
        ("[agents.x]\ntarget = 'a:B'", "agent x: there is no kind: use one of player, command, metamon"),
        ("[agents]\nx = 3", "agent x: 3 is not a table: write [agents.x]"),
        ("[agents.x]\nkind = 'player'", "agent x: there is no target"),
        ("[agents.x]\nkind = 'player'\ntarget = 3", "agent x: target = 3: expected str, got int"),
        (
            "[agents.x]\nkind = 'command'\ncommand = 'a {username}'\ndepth = 3",
            "agent x: unknown key depth: use one of start_timeout, battle_timeout, ",
        ),
        ("[agents.x]\nkind = 'metamon'", "agent x: give either a model"),
        ("[metamon]\nsnake = 'x'", "[metamon]: unknown key snake"),
        ("[agents.x", "cannot read the registry of agents"),
    ],
)
def test_a_registry_that_says_nonsense(registry: Registry, text: str, message: str) -> None:
    registry.path.write_text(text)
    with pytest.raises(AgentError) as raised:
        registry.listings()
    assert message in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "agents = 3",
        "metamon = []",
        "x = " + "[" * 5000 + "]" * 5000,
        '[agents.x]\nkind = "player"\ntarget = "a:B"\nstart_timeout = nan',
        '[agents.x]\nkind = "player"\ntarget = "a:B"\nbattle_timeout = -1',
        '[agents.x]\nkind = "player"\ntarget = "nothing"',
        '[agents.x]\nkind = "command"\ncommand = "bot {username}"\nport = 99999999',
        '[agents.x]\nkind = "command"\ncommand = "bot {username}\\u0000"',
        '[agents.x]\nkind = "command"\ncommand = "bot {username}"\nroles = [["a"]]',
        '[agents.x]\nkind = "command"\ncommand = "bot {username}"\nenvironment = {"a=b" = "c"}',
        '[agents.x]\nkind = "command"\ncommand = "bot {username}"\nenvironment = {a = "\\u0000"}',
        '[agents.x]\nkind = "metamon"\nmodel = "m"\ntemperature = inf',
    ],
)
def test_values_that_nothing_can_play_with(registry: Registry, text: str) -> None:
    registry.path.write_text(text)
    with pytest.raises(AgentError) as told:
        registry.listings()
    assert "\n" not in str(told.value)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
NUMBERS = st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats())
KEYS = (
    "kind",
    "target",
    "parameters",
    "command",
    "roles",
    "environment",
    "folder",
    "port",
    "gpu",
    "start_timeout",
    "model",
)
VALUES = st.recursive(
    st.one_of(
        TEXTS,
        NUMBERS,
        st.dates(),
        st.sampled_from([*ROLES, "player", "command", "metamon", "bots:Bot", "a {username}"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(TEXTS, inner, max_size=2)),
    max_leaves=4,
)
TABLES = st.one_of(VALUES, st.dictionaries(st.sampled_from(KEYS), VALUES))


@given(st.fixed_dictionaries({}, optional={"metamon": TABLES, "agents": st.dictionaries(TEXTS, TABLES, max_size=2)}))
def test_whatever_a_registry_says_is_listed_or_refused(tables: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "agents.toml")
        path.write_text(tomlkit.dumps(tables), encoding="utf-8")
        # Otherwise the example shows a fault of the library that writes it.
        assume(readable(path))
        with suppress(AgentError):
            Registry(path).listings()


def readable(path: Path) -> bool:
    try:
        tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError:
        return False
    return True


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_registry_that_is_no_file(registry: Registry, make: Callable[[Path], None]) -> None:
    make(registry.path)
    with pytest.raises(AgentError, match="it is not a file"):
        registry.names()
    with pytest.raises(AgentError, match="it is not a file"):
        registry.add("x", {"kind": "player", "target": "a:B"})


def test_no_registration_is_lost_among_processes(registry: Registry) -> None:
    code = (
        "import sys; from pathlib import Path; from pokeladder.registry import Registry\n"
        "registry = Registry(Path(sys.argv[1]))\n"
        "for number in range(10):\n"
        "    registry.add(f'{sys.argv[2]}-{number}', {'kind': 'player', 'target': 'a:B'})\n"
        "    registry.set_metamon({'cache': sys.argv[2]})\n"
        "registry.remove(f'{sys.argv[2]}-0')\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(registry.path), name]) for name in "abcd"]
    assert [process.wait(timeout=240) for process in processes] == [0, 0, 0, 0]
    assert sorted(registry.names()) == [f"{name}-{number}" for name in "abcd" for number in range(1, 10)]


def test_a_full_disk_leaves_nothing_behind(registry: Registry) -> None:
    registry.add("x", {"kind": "player", "target": "a:B"})
    before = registry.path.read_text(), sorted(registry.path.parent.iterdir())
    # Files may have no more than so many bytes, as if the disk were full.
    code = (
        "import resource, signal, sys; from pathlib import Path; from pokeladder.registry import Registry\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))\n"
        "Registry(Path(sys.argv[1])).add('y', {'kind': 'player', 'target': 'a:B'})\n"
    )
    failed = subprocess.run([sys.executable, "-c", code, str(registry.path)], capture_output=True, text=True)
    assert "nothing was changed" in failed.stderr
    assert (registry.path.read_text(), sorted(registry.path.parent.iterdir())) == before


def test_a_name_is_one_agents(registry: Registry) -> None:
    for name in ("random", "a:B"):
        with pytest.raises(AgentError, match="register it under another name"):
            registry.add(name, {"kind": "player", "target": "bots:Parametrised"})
    registry.path.write_text('[agents.random]\nkind = "player"\ntarget = "bots:Parametrised"')
    assert registry.listings()[0].note == "cannot play: random is built in; register it under another name"
    with pytest.raises(AgentError, match="two agents are called random"):
        parse_agent("random", registry)
    assert parse_agent("heuristics", registry).name == "heuristics"


def test_listing_imports_nothing(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "listed_package"
    package.mkdir()
    for name in ("__init__", "inner"):
        (package / f"{name}.py").write_text("open('ran', 'w')\nclass Bot: ...\n")
    monkeypatch.chdir(tmp_path)
    for name, target in {
        "there": "listed_package.inner:Bot",
        "attribute": "listed_package.inner:Other",
        "module": "listed_package.other:Bot",
        "package": "no_such_package.inner:Bot",
        "deeper": "listed_package.inner.more:Bot",
    }.items():
        registry.add(name, {"kind": "player", "target": target})
    assert {listing.name: listing.note for listing in registry.listings()} == {
        "there": "",
        "attribute": "agent attribute: module listed_package.inner has no Other",
        "module": "agent module: there is no module listed_package.other",
        "package": "agent package: there is no module no_such_package",
        "deeper": "agent deeper: listed_package.inner is a module and not a package, so there is no "
        "listed_package.inner.more",
    }
    assert not (tmp_path / "ran").exists()
    assert "listed_package" not in sys.modules


def test_comments_stay(registry: Registry) -> None:
    registry.path.write_text("# ours\n[agents.a] # the first\nkind = 'player' # a class\ntarget = 'bots:FirstLegal'\n")
    registry.add("b", {"kind": "player", "target": "bots:FirstLegal"})
    registry.remove("b")
    assert registry.path.read_text().startswith("# ours\n[agents.a] # the first\nkind = 'player' # a class\n")


def test_the_file_may_be_elsewhere(cli: Cli, tmp_path: Path) -> None:
    cli("agents", "add", "a", "--player", "bots:FirstLegal", env={"POKELADDER_AGENTS": str(tmp_path / "mine.toml")})
    assert list(Registry(tmp_path / "mine.toml").tables()) == ["a"]


def test_registered_players_play_on_either_venue(ladder: pokeladder.Ladder) -> None:
    ladder.agents.add("strong", {"kind": "player", "target": "bots:Stubborn", "parameters": {"strength": 3}})
    assert ladder.agents.find("strong", "s2", {"strength": 2}) == Agent("s2", "bots:Stubborn", {"strength": 2})
    assert ladder.tournament(["strong", "random"], battles_per_matchup=2).stored == 2
    assert ladder.tournament(["strong", "random"], battles_per_matchup=2, venue="server", workers=1).stored == 2


def test_a_program_runs_where_and_with_what_the_registry_says(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "bot").mkdir()
    script = tmp_path / "bot" / "say"
    script.write_text('#!/bin/sh\necho "$PWD $A $CUDA_VISIBLE_DEVICES $*"\n')
    script.chmod(0o755)
    registry.path.write_text(
        "[agents.x]\nkind = 'command'\nfolder = '~/bot'\nenvironment = {A = 'b'}\nroles = {ladder = 'search'}\n"
        "command = '~/bot/say {username} {opponent} {host} {port} {format} {battles} {role} {backend}'\n"
    )
    assert [one.note for one in registry.listings()] == ["on a server, as ladder"]
    agent = registry.find("x", "x", {})
    assert agent is not None
    url = "ws://127.0.0.1:8123/showdown/websocket"
    task = AgentTask(agent, "me", "you", url, "gen1ou", "ladder", 7, None, tmp_path, "poke-env", 1, {})
    process = AgentProcess(task, tmp_path / "logs", "3")
    wait_until(lambda: process.status() is not None)
    process.end()
    assert process.tail() == f": {tmp_path}/bot b 3 me you 127.0.0.1:8123 8123 gen1ou 7 search poke-env"


names = st.text("abc{} \"'\\$é", min_size=1, max_size=8)


@given(user=names, opponent=names)
def test_placeholders_are_filled_in_and_never_read_again(user: str, opponent: str) -> None:
    parts = parse_command("x", "bot --name={username} '{opponent} and {{username}}'")
    program = Program("x", "command", parts, {"ladder": "ladder"})
    assert program.filled_in({"username": user, "opponent": opponent}) == [
        "bot",
        f"--name={user}",
        f"{opponent} and {{username}}",
    ]


@given(st.sets(st.sampled_from(ROLES), min_size=1), st.sets(st.sampled_from(ROLES), min_size=1))
def test_two_meet_if_and_only_if_their_roles_allow_it(first: set[Any], second: set[Any]) -> None:
    met = meet(dict.fromkeys(first, ""), dict.fromkeys(second, ""))
    can = {("challenger", "acceptor"), ("acceptor", "challenger"), ("ladder", "ladder")}
    possible = {(a, b) for a in first for b in second} & can
    assert (met in possible) if possible else met is None


def checkpoint(folder: Path, run: str, epoch: int, last_step: int | None = None) -> None:
    """Lays a checkpoint out as amago does, with the scheduler's state as PyTorch saves it."""
    weights = folder / run / "ckpts" / "policy_weights"
    weights.mkdir(parents=True, exist_ok=True)
    (weights / f"policy_epoch_{epoch}.pt").touch()
    if last_step is not None:
        state = folder / run / "ckpts" / "training_states" / f"{run}_epoch_{epoch}" / "scheduler.bin"
        state.parent.mkdir(parents=True)
        with zipfile.ZipFile(state, "w") as archive:
            archive.writestr("scheduler/data.pkl", pickle.dumps({"last_epoch": last_step, "_last_lr": [1e-4]}, 2))


def test_checkpoints_and_their_training_steps(tmp_path: Path) -> None:
    for epoch in (10, 0, 2):
        checkpoint(tmp_path, "Gen1_Binary", epoch, 25_000 * (epoch + 1) if epoch == 2 else None)
    checkpoint(tmp_path, "unknown", 4)
    (tmp_path / "other").mkdir()
    (tmp_path / "Gen1_Binary" / "ckpts" / "policy_weights" / "notes.txt").touch()
    assert [(found.name, found.steps) for found in scan(tmp_path)] == [
        ("Gen1_Binary@0", 25_000),
        ("Gen1_Binary@2", 75_000),
        ("Gen1_Binary@10", 275_000),
        ("unknown@4", None),
    ]
    # As the old pipeline counted them: 75k, 125k, ... 325k.
    old = [found.steps for found in scan(tmp_path, steps_per_epoch=25_000, steps_before=50_000)]
    assert old == [75_000, 125_000, 325_000, 175_000]


def test_a_checkpoint_that_would_run_code_is_not_obeyed(tmp_path: Path) -> None:
    checkpoint(tmp_path, "evil", 0, 1)
    (state,) = tmp_path.rglob("scheduler.bin")

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "obeyed"),)

    with zipfile.ZipFile(state, "w") as archive:
        archive.writestr("scheduler/data.pkl", pickle.dumps({"last_epoch": Evil()}, 2))
    assert [found.steps for found in scan(tmp_path)] == [None]
    assert not (tmp_path / "obeyed").exists()


@pytest.fixture
def stand_in(ladder: pokeladder.Ladder, tmp_path: Path) -> Registry:
    """A registry with two checkpoints, played by programs that behave as metamon does."""
    python = tmp_path / "python"
    player, policy = (
        shlex.join([sys.executable, str(HELPERS / name)]) for name in ("stand_in.py", "stand_in_policy.py")
    )
    python.write_text(
        f'#!/bin/sh\ncase $1 in\n*/policy_server.py) shift; exec {policy} "$@";;\n'
        f'*) PYTHONPATH={shlex.quote(str(HELPERS))} exec {player} "$@";;\nesac\n'
    )
    python.chmod(0o755)
    for epoch in (0, 2):
        checkpoint(tmp_path / "checkpoints", "run", epoch, 10 * (epoch + 1))
    ladder.agents.set_metamon({"python": str(python), "checkpoints": str(tmp_path / "checkpoints")})
    return ladder.agents


def test_discovered_checkpoints_are_listed(stand_in: Registry) -> None:
    assert [(one.name, one.kind, one.note) for one in stand_in.listings()] == [
        ("run@0", "checkpoint", "epoch 0, 10 training steps; embedded, and on a server, as ladder"),
        ("run@2", "checkpoint", "epoch 2, 30 training steps; embedded, and on a server, as ladder"),
    ]
    with pytest.raises(AgentError, match="agent run@0 of metamon has no parameter depth: there is temperature"):
        stand_in.find("run@0", "x", {"depth": 3})


def test_trajectories_that_metamon_writes_are_taken_in(ladder: pokeladder.Ladder, stand_in: Registry) -> None:
    """Two checkpoints, both perspectives of each battle, and nothing left behind of the files."""
    heard: list[str] = []
    reached = ladder.tournament(
        ["run@0", "run@2"], battles_per_matchup=6, venue="server", workers=1, seed=0, notify=heard.append
    )
    assert (reached.stored, reached.void, heard) == (6, 0, [])
    assert rows(
        ladder,
        "SELECT count(*), count(DISTINCT battle_id), list(DISTINCT source),"
        " bool_and((result = 'WIN') = (winner IS NOT DISTINCT FROM side))"
        " FROM trajectories JOIN battles USING (battle_id)",
    ) == [(12, 6, ["recorded by the agent"], True)]
    assert not list(ladder.store.folder.rglob("*.lz4"))
    assert not list(ladder.store.folder.rglob("battle_log*"))


def test_what_metamon_says_does_not_count(ladder: pokeladder.Ladder, stand_in: Registry) -> None:
    """At a temperature of 2 the stand-in lies about who won."""
    heard: list[str] = []
    reached = ladder.tournament(
        ["run@0,temperature=2,name=liar", "random"],
        battles_per_matchup=4,
        venue="server",
        workers=1,
        notify=heard.append,
    )
    assert reached.stored == 4
    assert any("agent liar: it recorded" in line and "on the server" in line for line in heard)
    assert rows(
        ladder,
        "SELECT DISTINCT agent, source, (result = 'WIN') = (winner IS NOT DISTINCT FROM side)"
        " FROM trajectories JOIN battles USING (battle_id) ORDER BY agent",
    ) == [("liar", "recorded by the agent", True), ("random", "recorded", True)]


def test_a_run_goes_on_only_with_the_agents_that_it_had(
    ladder: pokeladder.Ladder, stand_in: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "AGENT_FAILURES", 1)
    stand_in.add("mine", {"kind": "command", "command": "false {username}", "start_timeout": 5})
    reached = ladder.tournament(["mine", "random"], battles_per_matchup=2, venue="server", workers=1)
    assert (reached.stored, reached.void) == (0, 2)
    stand_in.add("mine", {"kind": "command", "command": "true {username}", "start_timeout": 6})
    with pytest.raises(AgentError, match="agent mine is registered differently now"):
        ladder.tournament(resume=True)
    stand_in.remove("mine")
    with pytest.raises(AgentError, match="agent mine is no longer registered"):
        ladder.tournament(resume=True)
    # How it is run may change: that is what one mends.
    stand_in.add("mine", {"kind": "command", "command": "false {username}", "environment": {"A": "b"}})
    assert ladder.tournament(resume=True).run_id == reached.run_id


DAUGHTERS = "sleep {0} & setsid sleep {0} & (setsid sh -c 'trap \"\" TERM; sleep {0}; sleep {0}' &) ; "


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only the process group is ended")
def test_the_guard_leaves_nothing_behind(tmp_path: Path) -> None:
    """Neither daughters in sessions of their own, nor such as do not heed SIGTERM, nor grandchildren."""
    duration = f"98765{os.getpid()}"
    done = tmp_path / "done"
    for ending, foreground in (
        ("lifeline", f"sleep {duration}"),
        ("exit", f"until [ -e {done} ]; do sleep 0.05; done; exit 7"),
    ):
        ours, theirs = os.pipe()
        script = DAUGHTERS.format(duration) + foreground
        supervisor = subprocess.Popen(
            [sys.executable, "-I", str(SUPERVISOR), str(ours), "bash", "-c", script], pass_fds=[ours]
        )
        os.close(ours)
        wait_until(lambda: sum(line.startswith("sleep ") for line in processes_with(f"sleep {duration}")) >= 3)
        if ending == "lifeline":
            os.close(theirs)
        else:
            done.touch()
        status = supervisor.wait()
        if ending != "lifeline":
            os.close(theirs)
        assert status == {"lifeline": 0, "exit": 7}[ending]
        assert not processes_with(f"sleep {duration}")


@pytest.mark.slow
@pytest.mark.skipif(
    not (METAMON["python"] and METAMON["checkpoints"]),
    reason="METAMON_PYTHON and METAMON_CHECKPOINTS do not say where metamon is",
)
@pytest.mark.parametrize("venue", ["server", "embedded"])
def test_real_metamon(ladder: pokeladder.Ladder, venue: Any) -> None:
    ladder.agents.set_metamon({key: value for key, value in METAMON.items() if value})
    agents = [found.name for found in ladder.agents.checkpoints()][:2]
    reached = ladder.tournament(agents, battles_per_matchup=4, venue=venue, workers=1)
    assert (reached.stored, reached.void) == (4, 0)
    assert rows(
        ladder,
        "SELECT count(*), count(DISTINCT battle_id), any_value(source), list(DISTINCT agent ORDER BY agent),"
        " bool_and(steps = if(side = 'p1', p1_steps, p2_steps)) FROM trajectories JOIN battles USING (battle_id)",
    ) == [(8, 4, "recorded" if venue == "embedded" else "recorded by the agent", sorted(agents), True)]


def test_checkpoints_play_embedded(
    ladder: pokeladder.Ladder, stand_in: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process for each policy answers the positions of all workers; every choice it may make is legal."""
    monkeypatch.setattr(policy_servers, "PLAYER", "patient:PatientPolicyPlayer")
    heard: list[str] = []
    reached = ladder.tournament(
        ["run@0", "run@2", "max-power"], battles_per_matchup=10, workers=2, parallel=20, seed=0, notify=heard.append
    )
    assert (reached.stored, reached.void, heard) == (30, 0, [])
    assert rows(ladder, "SELECT sum(p1_invalid + p2_invalid), list(DISTINCT venue) FROM battles") == [(0, ["embedded"])]
    assert rows(ladder, "SELECT count(*), sum(unlisted_actions), list(DISTINCT source) FROM trajectories") == [
        (60, 0, ["recorded"])
    ]
    logs = ladder.store.folder / "logs" / reached.run_id
    for name in ("policy-0-0.log", "policy-1-0.log"):
        asked = [int(line.split()[1]) for line in (logs / name).read_text().splitlines()]
        assert sum(asked) / len(asked) > 1.5
    assert not processes_with(str(ladder.store.folder.parent))


@pytest.mark.parametrize(("gpu", "gpus", "policies"), [(False, [], 2), (True, [], 1), (True, ["0", "1", "2"], 3)])
def test_policies_share_the_cores_where_there_is_no_gpu(
    ladder: pokeladder.Ladder,
    stand_in: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    gpu: bool,
    gpus: list[str],
    policies: int,
) -> None:
    monkeypatch.setattr(policy_servers, "GPU_DEVICES", (tmp_path,) if gpu else ())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    reached = ladder.selfplay("run@2", num_battles=4, workers=2, gpus=gpus, trajectories=False)
    logs = ladder.store.folder / "logs" / reached.run_id
    assert {path.name for path in logs.glob("policy-*")} == {f"policy-0-{place}.log" for place in range(policies)}


@pytest.mark.parametrize("battle_format", [slowly("gen2randombattle"), "gen9randombattle"])
def test_what_policies_may_choose_is_legal(ladder: pokeladder.Ladder, stand_in: Registry, battle_format: str) -> None:
    """And self-play repeats, whatever comes together, without recording too."""
    for parallel in (9, 4):
        ladder.selfplay(
            "run@2",
            num_battles=12,
            battle_format=battle_format,
            parallel_instances=parallel,
            trajectories=False,
            seed=0,
        )
    assert rows(ladder, "SELECT sum(p1_invalid + p2_invalid) FROM battles") == [(0,)]
    assert (
        rows(ladder, "SELECT count(DISTINCT (winner, turns, p1_steps, p2_steps)) FROM battles GROUP BY game")
        == [(1,)] * 12
    )


def test_a_policy_process_that_dies(
    ladder: pokeladder.Ladder, stand_in: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_DIES", str(tmp_path / "died"))
    heard: list[str] = []
    reached = ladder.selfplay("run@0", num_battles=20, parallel_instances=10, workers=1, notify=heard.append)
    assert reached.stored == 20
    assert reached.void > 0
    assert any("the policy server of agent run@0 ended with exit status -9" in line for line in heard)
    checkpoint(tmp_path / "checkpoints", "run", 7)
    with pytest.raises(AgentError, match="agent run@7 ended with exit status 1: there is no such epoch, says the st"):
        ladder.selfplay("run@7", num_battles=4)
    with pytest.raises(UsageError, match="the battle backend metamon needs a server"):
        ladder.selfplay("run@0", num_battles=4, battle_backend="metamon")
    assert not processes_with(str(tmp_path))
