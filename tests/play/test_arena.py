"""The rule for agents that misbehave, and simulators and processes that die."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

import bots
import pokeladder
from pokeladder import retries
from pokeladder.agents.specs import Agent
from pokeladder.errors import AgentError, FormatError, SimulatorError
from pokeladder.play.embedded import pool
from pokeladder.play.embedded.heartbeat import Heartbeat
from pokeladder.play.embedded.players import NullWebsocket
from pokeladder.runs.progress import Progress
from pokeladder.simulator.process import Inquiry
from pokeladder.system.processes import Child
from running import HELPERS, alive, battle_rows, descendants, slowly, wait_until

RANDOM_FORMATS = [f"gen{gen}randombattle" for gen in range(1, 10)]


def play(ladder: pokeladder.Ladder, *agents: Any, **settings: Any) -> Progress:
    settings = {"battles_per_matchup": 2, "battle_format": "gen1randombattle", "workers": 1, **settings}
    return ladder.tournament(agents, **settings)


def assert_replays_agree(ladder: pokeladder.Ladder, inquiry: Inquiry, condition: str = "true") -> None:
    found = ladder.sql(
        f"SELECT battle_id, winner, turns, input_log FROM battles JOIN input_logs USING (battle_id) WHERE {condition}"
    ).fetchall()
    assert found
    for battle_id, winner, turns, input_log in found:
        replayed = inquiry.replay(input_log)
        assert (replayed["ended"], replayed["winner"], replayed["turns"]) == (True, winner, turns), battle_id


def loser_of(ladder: pokeladder.Ladder, condition: str = "true") -> set[str]:
    return {row[0] for row in battle_rows(ladder, "CASE winner WHEN 'p1' THEN p2 ELSE p1 END", condition)}


# In the last one Pokémon are often partially trapped, which Showdown's input logs do not tell all about.
@pytest.mark.parametrize(
    "battle_format",
    [
        "gen1hackmonscup",
        *(name if name in ("gen1randombattle", "gen9randombattle") else slowly(name) for name in RANDOM_FORMATS),
    ],
)
def test_every_generation_plays_and_replays(ladder: pokeladder.Ladder, inquiry: Inquiry, battle_format: str) -> None:
    reached = play(ladder, bots.FirstLegal, bots.AsyncRandom, "heuristics", battle_format=battle_format)
    assert (reached.stored, reached.void) == (6, 0)
    assert set(battle_rows(ladder, "outcome")) <= {("win",), ("tie",)}
    assert min(battle_rows(ladder, "p1_steps + p2_steps")) > (0,)
    # The first legal one is an agent that wants a team of its own at a preview.
    assert not battle_rows(
        ladder, "p1", "p1 <> 'FirstLegal' AND p1_invalid > 0 OR p2 <> 'FirstLegal' AND p2_invalid > 0"
    )
    assert ladder.sql("SELECT count(*) FROM trajectories").fetchall() == [(12,)]
    assert_replays_agree(ladder, inquiry)


@pytest.mark.slow
def test_singles_formats_of_all_kinds(ladder: pokeladder.Ladder, inquiry: Inquiry) -> None:
    """Every singles format with random teams, beyond those above, is played without an invalid decision or a trajectory
    that is missing, whatever moves and Pokémon it has of its own; replays agree."""
    formats = [
        found["id"]
        for found in inquiry.formats()
        if found["game_type"] == "singles" and found["random_teams"] and found["id"] not in RANDOM_FORMATS
    ]
    assert len(formats) > 10
    for battle_format in formats:
        reached = play(ladder, "heuristics", "random", battles_per_matchup=6, battle_format=battle_format)
        assert (reached.stored, reached.void) == (6, 0), battle_format
    found = battle_rows(ladder, "format", "p1_invalid + p2_invalid > 0")
    assert not found
    missing = ladder.sql(
        "SELECT battles.format FROM battles LEFT JOIN trajectories USING (battle_id) GROUP BY ALL"
        " HAVING count(trajectory_id) < 2 * count(DISTINCT battle_id)"
    ).fetchall()
    assert not missing
    # The roulette draws the generation of a battle from outside of its seed.
    assert_replays_agree(ladder, inquiry, "format <> 'gen9randomroulette'")


@pytest.mark.parametrize("battle_format", ["gen9randomdoublesbattle", "gen4doublesou", "gen9freeforall"])
def test_doubles_are_refused(ladder: pokeladder.Ladder, battle_format: str) -> None:
    with pytest.raises(FormatError, match="only singles are played"):
        play(ladder, "random", "heuristics", battle_format=battle_format)


def test_an_unknown_format_is_refused(ladder: pokeladder.Ladder) -> None:
    with pytest.raises(FormatError, match="Showdown has no format gen1uo"):
        play(ladder, "random", "heuristics", battle_format="gen1uo")


def test_constructors_that_pass_nothing_on(ladder: pokeladder.Ladder) -> None:
    reached = play(ladder, "bots:Stubborn,strength=3", "random")
    assert reached.stored == 2
    assert battle_rows(ladder, "DISTINCT format") == [("gen1randombattle",)]


def test_the_end_of_battle_callback_sees_the_battle(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    said: list[str] = []
    observer = Agent("observer", bots.Observer, {"path": str(tmp_path / "ends")})
    play(ladder, observer, "random", battles_per_matchup=40, notify=said.append)
    assert not [line for line in said if "raised" in line], said
    ends = dict(line.split() for line in (tmp_path / "ends").read_text().splitlines())
    # The process is ended when the last result is there.
    assert len(ends) >= 39
    won = battle_rows(
        ladder, "game + 1, if(winner IS NULL, 'None', if((winner = 'p1') = (p1 = 'observer'), 'True', 'False'))"
    )
    assert {(int(number), end) for number, end in ends.items()} <= set(won)


def test_what_players_send_as_messages_is_carried_out(ladder: pokeladder.Ladder) -> None:
    """A forfeit and a choice are; what else there is to say is told once of each agent."""
    said: list[str] = []
    ways = [f"bots:SendsForfeit,way={way},name={way}" for way in ("message", "socket")]
    play(ladder, *ways, "bots:SendsChoices,name=talker", notify=said.append)
    ended = battle_rows(ladder, "end_reason, turns, p1 = 'talker' OR p2 = 'talker', winner IS NOT NULL")
    assert {row[:2] + row[3:] for row in ended} == {("forfeit", 3, True)}
    assert loser_of(ladder, "'talker' IN (p1, p2)") == {"message", "socket"}
    assert battle_rows(ladder, "sum(p1_invalid + p2_invalid)") == [(0,)]
    told = [line for line in said if "warning" in line]
    assert told == ["warning: agent talker sent a message that has no effect without a server: '/timer on'"]


def test_messages_to_no_battle_and_from_other_threads() -> None:
    heard: list[tuple[str, bool]] = []

    async def send() -> None:
        mailbox = NullWebsocket()
        await mailbox.send("battle-1|/forfeit")
        mailbox.open("battle-1", lambda text, *, to_room=True: heard.append((text, to_room)))
        await mailbox.send("battle-1|/choose move 1|3")
        await mailbox.send("|/leave battle-1")
        await asyncio.to_thread(asyncio.run, mailbox.send("battle-1|/forfeit"))
        await asyncio.sleep(0)
        mailbox.leave("battle-1")
        await mailbox.send("battle-1|/forfeit")

    asyncio.run(send())
    assert heard == [("/choose move 1|3", True), ("/leave battle-1", False), ("/forfeit", True)]


@pytest.mark.parametrize(
    ("agent", "notice"),
    [
        (bots.Raises, r"agent Raises raised: ValueError: no idea \(.*bots.py:\d+\)"),
        (bots.RaisesLater, "agent RaisesLater raised: ValueError: no idea either"),
        (bots.Exits, "agent Exits raised: SystemExit: 3"),
        (bots.ExitsLater, "agent ExitsLater raised: RuntimeError: SystemExit: 4"),
        (bots.Nonsense, "agent Nonsense returned something that is not a choice: .*42"),
        (bots.Illegal, "agent Illegal made an illegal choice: .*missingno"),
    ],
)
def test_a_random_legal_choice_takes_the_place_of(
    ladder: pokeladder.Ladder, inquiry: Inquiry, agent: type, notice: str
) -> None:
    said: list[str] = []
    reached = play(ladder, agent, "heuristics", max_invalid=1000, notify=said.append)
    assert (reached.stored, reached.void) == (2, 0)
    relevant = [line for line in said if line.startswith("warning: agent")]
    assert len(relevant) == 1, "said once"
    assert re.search(notice, relevant[0])
    name = agent.__name__
    for p1, steps, invalid, other_invalid in battle_rows(ladder, "p1, p1_steps, p1_invalid, p2_invalid") + battle_rows(
        ladder, "p2, p2_steps, p2_invalid, p1_invalid"
    ):
        if p1 == name:
            assert invalid == steps > 0, "every decision was invalid, each once"
            assert other_invalid == 0
    assert_replays_agree(ladder, inquiry)


def test_too_many_invalid_choices_forfeit(ladder: pokeladder.Ladder, inquiry: Inquiry) -> None:
    play(ladder, bots.Raises, "random", max_invalid=5)
    assert battle_rows(ladder, "DISTINCT end_reason, p1_invalid + p2_invalid") == [("invalid", 5)]
    assert loser_of(ladder) == {"Raises"}
    assert_replays_agree(ladder, inquiry)


def test_agents_may_forfeit(ladder: pokeladder.Ladder) -> None:
    play(ladder, bots.Forfeits, "random")
    assert battle_rows(ladder, "DISTINCT end_reason, turns, p1_invalid + p2_invalid") == [("forfeit", 3, 0)]
    assert loser_of(ladder) == {"Forfeits"}


def test_a_forfeit_before_anything_was_decided_leaves_no_trajectory(ladder: pokeladder.Ladder) -> None:
    play(ladder, bots.ForfeitsAtOnce, "random")
    assert battle_rows(ladder, "DISTINCT end_reason, p1_steps + p2_steps") == [("forfeit", 1)]
    assert ladder.sql("SELECT DISTINCT agent, steps FROM trajectories").fetchall() == [("ForfeitsAtOnce", 1)]


# Those that behave take milliseconds for a decision, and must not exceed the limit on a busy machine.
TURN_SECONDS = 2.0


@pytest.mark.parametrize("agent", [slowly(bots.Sleeps), bots.Spins, bots.AsyncSleeps, bots.AsyncBlocks])
def test_agents_that_hang_lose_and_hurt_nobody(ladder: pokeladder.Ladder, agent: type) -> None:
    said: list[str] = []
    limits = {"turn_timeout": TURN_SECONDS, "max_timeouts": 2}
    reached = play(ladder, agent, "random", "heuristics", battles_per_matchup=1, **limits, notify=said.append)
    assert (reached.stored, reached.void) == (3, 0)
    name = agent.__name__
    hung = f"'{name}' IN (p1, p2)"
    assert battle_rows(ladder, "DISTINCT end_reason, p1_invalid + p2_invalid", hung) == [("timeout", 2)]
    assert loser_of(ladder, hung) == {name}
    assert battle_rows(ladder, "DISTINCT end_reason, p1_invalid + p2_invalid", f"NOT {hung}") == [("normal", 0)]
    assert any("ran out of time: a decision took longer than 2 s" in line for line in said)


def test_an_agent_is_not_timed_while_others_keep_it_waiting(ladder: pokeladder.Ladder) -> None:
    limits = {"turn_timeout": TURN_SECONDS, "max_timeouts": 1}
    reached = play(ladder, bots.PondersFirst, bots.AsyncRandom, battles_per_matchup=8, **limits)
    assert reached.stored == 8
    assert battle_rows(ladder, "sum(p1_invalid + p2_invalid)") == [(0,)]


def test_a_worker_is_not_silent_between_two_long_decisions() -> None:
    """Its event loop need not turn between them."""
    pulse = Heartbeat()
    before = time.monotonic()
    pulse.begin(0, "p1", 60)
    pulse.end()
    silence = pulse.silence()
    assert silence <= time.monotonic() - before
    pulse.close()


@pytest.mark.parametrize(("agent", "reason"), [(bots.Crashes, "agent_crash"), (bots.Deaf, "timeout")])
def test_agents_that_take_their_process_down(
    ladder: pokeladder.Ladder, agent: type, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "GRACE_SECONDS", 0.5)
    reached = play(ladder, agent, "random", "heuristics", battles_per_matchup=1, turn_timeout=TURN_SECONDS)
    assert reached.stored == reached.scheduled == 3
    hung = f"outcome <> 'void' AND '{agent.__name__}' IN (p1, p2)"
    assert battle_rows(ladder, "DISTINCT end_reason", hung) == [(reason,)]
    assert loser_of(ladder, hung) == {agent.__name__}
    fine = battle_rows(ladder, "DISTINCT end_reason", f"outcome <> 'void' AND '{agent.__name__}' NOT IN (p1, p2)")
    assert fine == [("normal",)]


@pytest.mark.parametrize(
    ("agent", "reason"),
    [
        (Agent("x", "bots:Unbuildable"), "agent x could not be built: RuntimeError: weights are missing"),
        (Agent("x", "bots:not_a_player"), "builds a object, not a poke-env Player"),
        (Agent("x", "no.such:Bot"), "cannot import no.such"),
    ],
)
def test_agents_that_cannot_be_built(ladder: pokeladder.Ladder, agent: Agent, reason: str) -> None:
    with pytest.raises(AgentError, match=reason):
        play(ladder, agent, "random")
    assert battle_rows(ladder, "count(*)") == [(0,)]
    assert ladder.sql("FROM runs").fetchall() == [], "it is none to resume"


def test_classes_that_no_module_holds(ladder: pokeladder.Ladder) -> None:
    class Local(bots.FirstLegal):
        pass

    assert play(ladder, Local, "random").stored == 2


def below_workers(pid: int) -> dict[int, str]:
    """Command lines of the processes below the workers of a tournament."""
    workers = [worker for worker, command in descendants(pid).items() if "pokeladder.play.embedded.worker" in command]
    return {child: command for worker in workers for child, command in descendants(worker).items()}


@pytest.fixture
def kills(tmp_path: Path) -> Path:
    """As many processes as this folder has files are killed by an agent of :func:`killing`, in a battle of its own."""
    (tmp_path / "kills").mkdir()
    return tmp_path / "kills"


def killing(kills: Path, victim: str) -> Agent:
    return Agent("killing", bots.Kills, {"folder": str(kills), "victim": victim})


@pytest.mark.parametrize("victim", ["simulator", "worker"])
def test_processes_that_die_cost_nothing_but_time(ladder: pokeladder.Ladder, kills: Path, victim: str) -> None:
    for number in range(3):
        (kills / f"{number}").touch()
    reached = play(ladder, killing(kills, victim), "random", battles_per_matchup=60, workers=2, parallel=16)
    assert not list(kills.iterdir())
    assert reached.stored == 60
    assert battle_rows(ladder, "count(*), count(DISTINCT game)", "outcome <> 'void'") == [(60, 60)]
    assert battle_rows(ladder, "DISTINCT end_reason, outcome", "outcome = 'void'") == [("crash", "void")]
    # Each was in the middle of a battle at least.
    assert battle_rows(ladder, "count(*)", "outcome = 'void'")[0][0] == reached.void >= 3
    games = ladder.sql("SELECT sum(games) FROM statistics").fetchall()
    assert games == [(120,)], "void battles do not count"


def test_battles_that_stayed_void_are_tried_again_on_resume(
    ladder: pokeladder.Ladder, kills: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "ATTEMPTS", 1)
    agents, settings = (killing(kills, "simulator"), "heuristics"), {"battles_per_matchup": 24, "parallel": 8}
    (kills / "first").touch()
    first = play(ladder, *agents, **settings)
    assert 0 < first.stored < first.scheduled == first.stored + first.void
    (kills / "second").touch()
    second = play(ladder, *agents, resume=True, **settings)
    assert second.run_id == first.run_id
    third = play(ladder, *agents, resume=True, **settings)
    assert third.stored == 24
    assert battle_rows(ladder, "count(*) = count(DISTINCT battle_id)") == [(True,)]
    assert battle_rows(ladder, "count(*), count(DISTINCT game)", "outcome <> 'void'") == [(24, 24)]


def test_a_simulator_that_never_works(ladder: pokeladder.Ladder, tmp_path: Path, monkeypatch) -> None:
    from pokeladder.simulator import process

    broken = tmp_path / "driver.js"
    broken.write_text("process.exit(3)")
    monkeypatch.setattr(process, "DRIVER", broken)
    with pytest.raises(SimulatorError, match="the simulator failed"):
        play(ladder, "random", "heuristics")


DIES = "import sys; sys.exit(3)  # {}"


class _Dead(Child):
    """A child that has ended before anything is sent to it."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pokeladder.system.processes.MAIN", DIES)
            super().__init__(*arguments, **settings)
        self.status()


def test_reconstructors_that_never_start(ladder: pokeladder.Ladder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pokeladder.play.server.trajectory_collector.Child", _Dead)
    with pytest.raises(SimulatorError, match="5 processes that reconstruct trajectories died in a row"):
        play(ladder, "random", "heuristics", venue="server")


@pytest.mark.parametrize("at_once", [True, False])
def test_workers_that_never_start(ladder: pokeladder.Ladder, monkeypatch: pytest.MonkeyPatch, at_once: bool) -> None:
    """Whether they end before or after the job is sent."""
    monkeypatch.setattr("pokeladder.system.processes.MAIN", DIES)
    if at_once:
        monkeypatch.setattr("pokeladder.play.embedded.pool.Child", _Dead)
    with pytest.raises(SimulatorError, match="5 worker processes died in a row, the last with exit status 3"):
        play(ladder, "random", "heuristics")


def test_no_process_is_left_behind(ladder: pokeladder.Ladder) -> None:
    started: dict[int, str] = {}
    before = set(descendants(os.getpid()))
    play(ladder, "random", "heuristics", watch=lambda _: started.update(descendants(os.getpid())))
    assert set(descendants(os.getpid())) <= before
    wait_until(lambda: not alive({pid: command for pid, command in started.items() if pid not in before}))


def test_a_killed_tournament_leaves_no_process(tmp_path: Path, command_line: list[str]) -> None:
    """It is killed while an agent waits in the middle of a battle."""
    limit = tmp_path / "limit"
    limit.write_text("0")
    said = tmp_path / "said"
    with (
        said.open("w") as stderr,
        subprocess.Popen(
            [*command_line, "tournament", "random", f"bots:Waits,folder={tmp_path},name=waits"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(HELPERS)},
            stderr=stderr,
        ) as process,
    ):
        started: dict[int, str] = {}

        def plays() -> bool:
            assert process.poll() is None, said.read_text()
            started.update(descendants(process.pid))
            return any("driver.js" in command for command in below_workers(process.pid).values())

        wait_until(plays)
        process.kill()
    wait_until(lambda: not alive(started))


def test_a_simulator_that_stops_answering_is_replaced(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    """Stopped, not dead: only its silence tells."""
    flag = tmp_path / "flag"
    reached = play(
        ladder, "max-power", Agent("stops", bots.StopsSimulator, {"folder": str(tmp_path)}), battles_per_matchup=12
    )
    assert not Path("/proc", flag.read_text()).exists()
    assert reached.stored == 12
    assert reached.void > 0
    assert battle_rows(ladder, "DISTINCT end_reason", "outcome = 'void'") == [("crash",)]


def test_agents_that_are_never_built(ladder: pokeladder.Ladder, monkeypatch: pytest.MonkeyPatch) -> None:
    def watch(_: Progress) -> None:
        if any("loading for ever" in log.read_text() for log in ladder.store.folder.glob("logs/*/worker-0.log")):
            monkeypatch.setattr(pool, "START_SECONDS", 0.0)

    with pytest.raises(AgentError, match=r"the agents were not built within 0 minutes: loading for ever"):
        play(ladder, "random", "bots:NeverBuilt", watch=watch)
