"""The main job as users run it: whole tournaments, killed, resumed, repeated and read while they run."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

import bots
import pokeladder
from pokeladder import Agent
from pokeladder.errors import InterruptedRunError, StoreError, TeamError, UsageError
from pokeladder.runs.progress import Progress
from pokeladder.simulator.process import Inquiry
from running import HELPERS, content, hold, slowly, start_tournament, wait_for_battles

READER = """
import sys, time, duckdb
path, most = sys.argv[1], 0
reads = 0
while True:
    connection = duckdb.connect(path, read_only=True)
    (count,) = connection.execute("SELECT count(*) FROM battles").fetchall()[0]
    connection.close()
    assert count >= most, (count, most)
    most = count
    reads += 1
    print(reads, count, flush=True)
"""


def test_a_hundred_battles_of_the_built_in_agents(ladder: pokeladder.Ladder, inquiry: Inquiry) -> None:
    said: list[str] = []
    reached = ladder.tournament(
        ["random", "max-power", "heuristics"], battles_per_matchup=34, parallel=32, seed=5, notify=said.append
    )
    assert (reached.scheduled, reached.stored, reached.void) == (102, 102, 0)
    assert not [line for line in said if "warning" in line]
    counts = ladder.sql(
        "SELECT count(*), count(DISTINCT battle_id), count(DISTINCT game), count_if(outcome = 'void'),"
        " max(p1_invalid + p2_invalid), count(DISTINCT pair_id), count(input_log)"
        " FROM battles JOIN input_logs USING (battle_id)"
    ).fetchall()
    assert counts == [(102, 102, 102, 0, 0, 51, 102)]
    ranking = [row[0] for row in ladder.sql("SELECT agent FROM elo ORDER BY rank").fetchall()]
    assert ranking[-1] == "random"
    assert set(ranking[:2]) == {"heuristics", "max-power"}
    mirrored = ladder.sql(
        "SELECT count(DISTINCT (seed, p1_team, p2_team)), count(DISTINCT p1), count(*) FROM battles GROUP BY pair_id"
    ).fetchall()
    assert set(mirrored) == {(1, 2, 2)}
    logs = "SELECT winner, turns, p1_packed, p2_packed, input_log FROM battles JOIN input_logs USING (battle_id)"
    for winner, turns, p1_packed, p2_packed, input_log in ladder.sql(logs).fetchall():
        replayed = inquiry.replay(input_log)
        assert (replayed["ended"], replayed["winner"], replayed["turns"]) == (True, winner, turns)
        assert p1_packed in input_log
        assert p2_packed in input_log


def test_replays_agree_and_show_the_agents_names(ladder: pokeladder.Ladder) -> None:
    ladder.tournament(["random", "max-power", "heuristics"], battles_per_matchup=1)
    battles = [row[0] for row in ladder.sql("SELECT battle_id FROM battles").fetchall()]
    assert len(battles) == 3
    for battle_id in battles:
        replay = ladder.replay(battle_id)
        assert replay.agrees
        assert replay.log.count("\n|win|") + replay.log.endswith("\n|tie") == 1
        assert f"|player|p1|{replay.p1}|" in replay.log


def test_a_replay_that_disagrees_says_so(ladder: pokeladder.Ladder) -> None:
    ladder.tournament(["random", "max-power"], battles_per_matchup=1)
    ((battle_id,),) = ladder.sql("SELECT battle_id FROM battles").fetchall()
    replay = ladder.replay(battle_id)
    assert replay.agrees
    changed = type(replay)(**{**vars(replay), "turns": replay.turns + 1})
    assert not changed.agrees


def test_the_same_seed_makes_the_same_battles_and_another_does_not(tmp_path: Path) -> None:
    def play(name: str, seed: int, parallel: int, workers: int) -> list[tuple]:
        ladder = pokeladder.open(tmp_path / name)
        agents = ["random", "bots:AsyncRandom", "max-power", "heuristics"]
        ladder.tournament(agents, battles_per_matchup=4, seed=seed, parallel=parallel, workers=workers)
        return content(ladder)

    once = play("once", 11, 16, 2)
    assert play("again", 11, 3, 1) == once
    other = play("other", 12, 16, 2)
    assert {row[5] for row in other}.isdisjoint(row[5] for row in once)


def battles_stored(folder: Path) -> int:
    return pokeladder.open(folder).sql("SELECT count(*) FROM battles").fetchall()[0][0]


def test_readers_see_whole_battles_only_and_never_fewer(tmp_path: Path, prompt_line: list[str]) -> None:
    pokeladder.open(tmp_path / "ladder")
    database = tmp_path / "ladder" / "pokeladder.duckdb"
    counts = [0]
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(database)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as reader:

        def read_until(seen: Callable[[int], bool]) -> None:
            """Reads what the reader counts; the reader itself sees that it is never fewer."""
            assert reader.stdout is not None
            while not seen(counts[-1]):
                line = reader.stdout.readline()
                assert line, reader.communicate()[1]
                counts.append(int(line.split()[1]))

        limit = hold(tmp_path)
        try:
            tournament = start_tournament(tmp_path, prompt_line)
            read_until(lambda count: count > 0)
            limit.unlink()
            _, said = tournament.communicate()
            assert tournament.returncode == 0, said
            read_until(lambda count: count == 90)
        finally:
            reader.kill()
    assert len(set(counts)) > 2, "the count was seen growing"


@pytest.mark.parametrize("after_start", [slowly(0.0), 1.5])
def test_killed_at_any_moment_and_resumed(tmp_path: Path, prompt_line: list[str], after_start: float) -> None:
    process = start_tournament(tmp_path, prompt_line)
    time.sleep(after_start + random.random() * 2)
    process.kill()
    process.communicate()
    before = battles_stored(tmp_path / "ladder")
    resumed = start_tournament(tmp_path, prompt_line, "--resume")
    _, said = resumed.communicate()
    assert resumed.returncode == 0, said
    ladder = pokeladder.open(tmp_path / "ladder")
    counts = ladder.sql(
        "SELECT count(*), count(DISTINCT battle_id), count(DISTINCT (p1, p2, seed)), count(DISTINCT run_id), max(game)"
        " FROM battles WHERE outcome <> 'void'"
    ).fetchall()
    assert counts == [(90, 90, 90, 1, 89)], (before, said)


@pytest.mark.slow
def test_killed_again_and_again(tmp_path: Path, prompt_line: list[str]) -> None:
    arguments = ["--battles-per-matchup", "300", "--resume"]
    kills = 0
    while True:
        process = start_tournament(tmp_path, prompt_line, *arguments)
        try:
            # Later and later: a busy machine stores nothing in the first seconds.
            process.communicate(timeout=random.uniform(0.1, 5 + kills / 4))
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
    assert process.returncode == 0
    assert kills > 3
    counts = pokeladder.open(tmp_path / "ladder").sql(
        "SELECT count(*), count(DISTINCT battle_id), count(DISTINCT (p1, p2, seed)), count(DISTINCT run_id)"
        " FROM battles"
    )
    assert counts.fetchall() == [(900, 900, 900, 1)], f"after {kills} kills"


def test_a_resumed_tournament_equals_one_that_was_not_stopped(tmp_path: Path, prompt_line: list[str]) -> None:
    limit = hold(tmp_path)
    process = start_tournament(tmp_path, prompt_line, "--seed", "3", "--battles-per-matchup", "20")
    wait_for_battles(tmp_path, process)
    process.kill()
    process.communicate()
    limit.unlink()
    ladder = pokeladder.open(tmp_path / "ladder")
    assert 0 < len(content(ladder)) < 60
    ladder.tournament(resume=True)
    whole = pokeladder.open(tmp_path / "whole")
    whole.tournament(
        ["heuristics", "random", Agent("waits", "poke_env.player:MaxBasePowerPlayer")], battles_per_matchup=20, seed=3
    )
    assert content(ladder) == content(whole)


@pytest.mark.parametrize("how", [signal.SIGINT, slowly(signal.SIGTERM)])
def test_stopped_by_a_signal(tmp_path: Path, prompt_line: list[str], how: signal.Signals) -> None:
    limit = hold(tmp_path)
    process = start_tournament(tmp_path, prompt_line)
    wait_for_battles(tmp_path, process)
    process.send_signal(how)
    out, said = process.communicate()
    limit.unlink()
    assert process.returncode == (130 if how == signal.SIGINT else 143)
    assert "play the rest with `pokeladder tournament --resume`" in said
    assert "Traceback" not in said
    assert out == ""
    stored = battles_stored(tmp_path / "ladder")
    assert f"Interrupted: {stored} of 90 battles are stored in run " in said
    environment = {**os.environ, "PYTHONPATH": str(HELPERS)}
    resumed = subprocess.run(
        [*prompt_line, "tournament", "--resume"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert resumed.returncode == 0, resumed.stderr
    assert f"has {stored} of 90 battles" in resumed.stderr
    assert battles_stored(tmp_path / "ladder") == 90


def interrupt(progress: Progress) -> None:
    if progress.stored:
        raise KeyboardInterrupt


@pytest.mark.usefixtures("prompt")
def test_interrupted_from_python(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    limit = hold(tmp_path)
    agents = [Agent("waits", bots.Waits, {"folder": str(tmp_path)}), "heuristics"]
    settings = {"battles_per_matchup": 30, "turn_timeout": 3600, "workers": 1}
    with pytest.raises(InterruptedRunError):
        ladder.tournament(agents, watch=interrupt, **settings)
    limit.unlink()
    stored = ladder.sql("SELECT count(*) FROM battles").fetchall()[0][0]
    assert 0 < stored < 30
    assert ladder.tournament(agents, resume=True, **settings).stored == 30


def test_interrupted_when_all_is_stored(ladder: pokeladder.Ladder) -> None:
    def at_the_end(progress: Progress) -> None:
        if progress.stored == progress.scheduled:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError, match=r"all battles of run .* are stored"):
        ladder.tournament(["random", "max-power"], battles_per_matchup=2, watch=at_the_end)
    assert ladder.sql("SELECT finished FROM runs").fetchall() == [(True,)]


def test_resuming(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no unfinished tournament: name agents to play one"):
        ladder.tournament(resume=True)
    agents = ["random", "max-power,name=power"]
    first = ladder.tournament(agents, battles_per_matchup=2, resume=True)
    assert (first.stored, first.played) == (2, 2), "there was none: all is missing"
    again = ladder.tournament(agents, battles_per_matchup=2, resume=True)
    assert (again.run_id, again.stored, again.played) == (first.run_id, 2, 0), "nothing is missing"
    more = ladder.tournament(agents, battles_per_matchup=4, resume=True)
    assert more.run_id != first.run_id, "other settings are another run"
    anew = ladder.tournament(agents, battles_per_matchup=2)
    assert anew.run_id not in (first.run_id, more.run_id)
    assert ladder.sql("SELECT count(*), count_if(finished) FROM runs").fetchall() == [(3, 3)]


@pytest.mark.usefixtures("prompt")
def test_resuming_agents_with_parameters_of_any_name(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    limit = hold(tmp_path)
    agents = [f"bots:Waits,folder={tmp_path},name=waits", "bots:Stubborn,target=foe,strength=2"]
    with pytest.raises(InterruptedRunError):
        ladder.tournament(agents, battles_per_matchup=10, turn_timeout=3600, workers=1, watch=interrupt)
    limit.unlink()
    assert ladder.tournament(resume=True).stored == 10
    agents = {name for row in ladder.sql("SELECT DISTINCT p1, p2 FROM battles").fetchall() for name in row}
    assert agents == {"waits", "Stubborn(target=foe,strength=2)"}


def test_a_run_is_played_by_one_process_at_a_time(ladder: pokeladder.Ladder) -> None:
    reached = ladder.tournament(["random", "max-power"], battles_per_matchup=2)
    with (
        ladder.store.lock_run(reached.run_id),
        pytest.raises(StoreError, match="another process is playing run"),
    ):
        ladder.tournament(["random", "max-power"], battles_per_matchup=2, resume=True)


def test_a_run_that_cannot_be_locked(ladder: pokeladder.Ladder) -> None:
    (ladder.store.log_folder("some") / "run.lock").mkdir()
    with pytest.raises(StoreError, match=r"cannot lock .*run.lock: .*play on a file system that can lock files"):
        ladder.store.lock_run("some")


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="another file system")
def test_a_store_on_another_file_system_and_copied_from_there(tmp_path: Path, prompt_line: list[str]) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        limit = hold(Path(folder))
        process = start_tournament(Path(folder), prompt_line)
        wait_for_battles(Path(folder), process)
        process.kill()
        process.communicate()
        limit.unlink()
        there = pokeladder.open(Path(folder, "ladder"))
        assert there.tournament(resume=True).stored == 90
        played = content(there)
        shutil.copytree(there.store.folder, tmp_path / "copy")
    files = tmp_path / "copy" / "battles" / "*" / "*.parquet"
    count = "SELECT count(*), count(DISTINCT game) FROM"
    assert duckdb.sql(f"{count} '{files}' WHERE outcome <> 'void'").fetchall() == [(90, 90)]
    copy = pokeladder.open(tmp_path / "copy")
    assert content(copy) == played
    assert copy.replay(copy.sql("SELECT min(battle_id) FROM battles").fetchall()[0][0]).agrees
    with duckdb.connect(copy.store.database, read_only=True) as other:
        assert other.execute(f"{count} battles").fetchall() == [(90, 90)]


def test_two_tournaments_into_one_store(tmp_path: Path, prompt_line: list[str]) -> None:
    both = [start_tournament(tmp_path, prompt_line, "--seed", str(seed), "--workers", "1") for seed in (1, 2)]
    for process in both:
        _, said = process.communicate()
        assert process.returncode == 0, said
    ladder = pokeladder.open(tmp_path / "ladder")
    runs = ladder.sql("SELECT count(*), count(DISTINCT battle_id) FROM battles GROUP BY run_id").fetchall()
    assert runs == [(90, 90), (90, 90)]


def test_teams_are_checked_before_the_first_battle(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    folder = tmp_path / "teams" / "gen1ou"
    folder.mkdir(parents=True)
    (folder / "bad.gen1ou_team").write_text("Tauros\n- Psychic\n")
    with pytest.raises(TeamError, match=r"bad\.gen1ou_team: Tauros can't learn Psychic"):
        ladder.tournament(["random", "heuristics"], team_set=str(tmp_path / "teams"))
    assert ladder.sql("SELECT count(*) FROM runs").fetchall() == [(0,)]


def test_teams_of_other_formats_play(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    """A format with team preview and teams of one's own."""
    folder = tmp_path / "teams" / "gen9ou"
    folder.mkdir(parents=True)
    (folder / "six.gen9ou_team").write_text(GEN9_TEAM)
    reached = ladder.tournament(
        ["bots:FirstLegal", "heuristics"],
        battle_format="gen9ou",
        team_set=str(tmp_path / "teams"),
        battles_per_matchup=4,
    )
    assert (reached.stored, reached.void) == (4, 0)
    invalid = ladder.sql("SELECT sum(p1_invalid + p2_invalid) FROM battles").fetchall()
    assert invalid == [(0,)]
    replay = ladder.replay(f"{reached.run_id}-000000")
    assert replay.agrees
    assert "|teampreview" in replay.log


def test_settings_that_make_no_tournament(ladder: pokeladder.Ladder) -> None:
    for agents, settings in (
        (["random"], {}),
        ([], {}),
        (["random", "heuristics"], {"battles_per_matchup": 0}),
        (["random", "heuristics"], {"turn_timeout": 0}),
    ):
        with pytest.raises(UsageError):
            ladder.tournament(agents, **settings)


def test_results_file(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    reached = ladder.tournament(["random", "heuristics", "max-power"], battles_per_matchup=2)
    path = ladder.write_tournament_results(reached.run_id, tmp_path / "deep" / "results")
    results = json.loads(path.read_text())
    assert results["models"] == ["heuristics", "max-power", "random"]
    assert results["battles_per_matchup"] == 2
    assert [(m["model1"], m["model2"], m["num_battles"], m["status"]) for m in results["matchups"]] == [
        ("heuristics", "max-power", 2, "success"),
        ("heuristics", "random", 2, "success"),
        ("max-power", "random", 2, "success"),
    ]
    for matchup in results["matchups"]:
        assert matchup["wins1"] + matchup["wins2"] + matchup["ties"] == 2


def test_logs_of_workers_are_kept_beside_the_run(ladder: pokeladder.Ladder) -> None:
    reached = ladder.tournament(["random", "bots:Raises"], battles_per_matchup=1, max_invalid=3)
    logs = "".join(path.read_text() for path in (ladder.store.folder / "logs" / reached.run_id).glob("*.log"))
    assert "ValueError: no idea" in logs
    assert os.sep + "bots.py" in logs


@pytest.mark.usefixtures("prompt")
def test_resuming_with_other_teams(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    folder = tmp_path / "teams" / "gen1ou"
    folder.mkdir(parents=True)
    team = folder / "solo.gen1ou_team"
    team.write_text("Tauros\n- Body Slam\n")
    limit = hold(tmp_path)
    agents = ["random", Agent("waits", bots.Waits, {"folder": str(tmp_path)})]
    settings = {"battles_per_matchup": 10, "turn_timeout": 3600, "workers": 1}
    with pytest.raises(InterruptedRunError):
        ladder.tournament(agents, team_set=str(tmp_path / "teams"), watch=interrupt, **settings)
    limit.unlink()
    team.write_text("Tauros\n- Body Slam\n- Earthquake\n")
    with pytest.raises(UsageError, match=r"differ \(other teams\): restore them"):
        ladder.tournament(resume=True)
    assert ladder.sql("SELECT count(*) FROM runs").fetchall() == [(1,)]
    team.write_text("Tauros\n- Body Slam\n")
    assert ladder.tournament(resume=True).stored == 10


GEN9_TEAM = """Great Tusk @ Leftovers
Ability: Protosynthesis
Tera Type: Steel
EVs: 252 HP / 4 Atk / 252 Def
Impish Nature
- Rapid Spin
- Headlong Rush
- Ice Spinner
- Knock Off

Kingambit @ Black Glasses
Ability: Supreme Overlord
Tera Type: Dark
EVs: 252 Atk / 4 SpD / 252 Spe
Adamant Nature
- Swords Dance
- Kowtow Cleave
- Sucker Punch
- Iron Head

Dragapult @ Choice Specs
Ability: Infiltrator
Tera Type: Ghost
EVs: 4 Def / 252 SpA / 252 Spe
Timid Nature
- Shadow Ball
- Draco Meteor
- U-turn
- Flamethrower

Slowking-Galar @ Heavy-Duty Boots
Ability: Regenerator
Tera Type: Water
EVs: 252 HP / 4 SpA / 252 SpD
Calm Nature
- Chilly Reception
- Sludge Bomb
- Future Sight
- Thunder Wave

Zamazenta @ Leftovers
Ability: Dauntless Shield
Tera Type: Fire
EVs: 252 HP / 4 Def / 252 Spe
Jolly Nature
- Iron Defense
- Body Press
- Crunch
- Roar

Iron Valiant @ Booster Energy
Ability: Quark Drive
Tera Type: Fairy
EVs: 4 Atk / 252 SpA / 252 Spe
Naive Nature
- Moonblast
- Close Combat
- Knock Off
- Encore
"""
