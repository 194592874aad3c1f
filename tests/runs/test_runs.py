"""Runs that follow earlier ones: the same again, more of them, with another version, or with other numbers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import pokeladder
from pokeladder.errors import AgentError, FormatError, UsageError
from pokeladder.runs import preparation
from pokeladder.store.rows import AgentVersion, Run
from pokeladder.store.writer import BatchWriter
from running import HELPERS
from stores import battle, run_of

Cli = Callable[..., subprocess.CompletedProcess[str]]
TWO = ["random", "max-power"]
BOT = "from poke_env.player import {base}\n\n\nclass Bot({base}):\n    pass\n"


def ask(ladder: pokeladder.Ladder, sql: str) -> list[tuple[Any, ...]]:
    return ladder.sql(sql).fetchall()


def unfinished(ladder: pokeladder.Ladder, run_id: str, like: str, **changes: object) -> None:
    """Adds a run of which nothing is played, with the settings of another but for some."""
    ((settings,),) = ask(ladder, f"SELECT settings FROM runs WHERE run_id = '{like}'")
    asked = json.dumps({**json.loads(settings), **changes})
    ladder.store.add_run(
        Run(run_id, "tournament", "gen1ou", "embedded", asked, 300, datetime.now(UTC), "0.1.0", "0.11.11")
    )


def test_the_same_again_counts_once_and_more_is_new(ladder: pokeladder.Ladder) -> None:
    first = ladder.tournament(TWO, battles_per_matchup=4, seed=6, workers=1)
    again = ladder.tournament(TWO, battles_per_matchup=4, seed=6, workers=1)
    assert ladder.repeated(first.run_id) == 0
    assert ladder.repeated(again.run_id) == 4
    pairs = ask(ladder, "SELECT battle_id, repeats FROM repeated_battles ORDER BY ALL")
    assert pairs == [(f"{again.run_id}-{game:06d}", f"{first.run_id}-{game:06d}") for game in range(4)]
    assert ask(ladder, "SELECT count(*) FROM battles") == [(8,)]
    assert {row[0] for row in ask(ladder, "SELECT games FROM statistics")} == {4}
    # A slice is looked at by itself.
    assert len(ladder.battles(run=again.run_id).fetchall()) == 4
    assert ladder.elo(run=again.run_id).aggregate("max(games)").fetchall() == [(4,)]
    more = ladder.tournament(TWO, more=3, workers=1)
    assert (more.stored, ladder.repeated(more.run_id)) == (3, 0)
    yet_more = ladder.tournament(TWO, more=2, workers=1)
    assert ladder.repeated(yet_more.run_id) == 0
    # Two pairs of the first run, one and a single battle of the third, one pair of the last: all drawn apart.
    assert ask(ladder, "SELECT count(DISTINCT seed) FROM battles") == [(5,)]
    ladder.compact()
    assert {row[0] for row in ask(ladder, "SELECT games FROM statistics")} == {9}
    # Other numbers than those of the latest unfinished run.
    unfinished(ladder, "unfinished", first.run_id, battles_per_matchup=300)
    with pytest.raises(UsageError, match=r"unfinished run unfinished differ \(battles per matchup 300, not 400\)"):
        ladder.tournament(TWO, battles_per_matchup=400, seed=6, resume=True)
    with pytest.raises(UsageError, match="seed 6, not 7"):
        ladder.tournament(TWO, battles_per_matchup=300, seed=7, resume=True)
    with pytest.raises(UsageError, match=r"run unfinished, to which --more would add, is not finished"):
        ladder.tournament(TWO, more=2, team_set="standard", seed=6)
    with pytest.raises(UsageError, match="there is no tournament of these agents"):
        ladder.tournament(["random", "heuristics"], more=2)


def test_a_seed_is_drawn_and_resumed_with(ladder: pokeladder.Ladder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by a run that has no versions, as those of version 0.1.0."""
    monkeypatch.setattr(preparation, "SEEDS", 10**9)
    once = ladder.tournament(TWO, battles_per_matchup=2, workers=1)
    assert once.drawn_seed is not None
    assert ask(ladder, "SELECT DISTINCT run_seed FROM battles") == [(str(once.drawn_seed),)]
    for path in (ladder.store.folder / "versions").glob("2*.parquet"):
        path.unlink()
    again = ladder.tournament(TWO, battles_per_matchup=2, resume=True)
    assert (again.run_id, again.drawn_seed) == (once.run_id, None)
    other = ladder.tournament(TWO, battles_per_matchup=2, workers=1)
    assert ladder.repeated(other.run_id) == 0


def test_another_version_of_an_agent(tmp_path: Path, cli: Cli) -> None:
    """Pooled with the one before only where that is told; never in one run by accident."""
    bot = tmp_path / "their_bots.py"
    bot.write_text(BOT.format(base="RandomPlayer"))
    names = ["random", "their_bots:Bot"]
    assert cli("tournament", *names, "--battles-per-matchup", "2", "--workers", "1").returncode == 0
    ladder = pokeladder.open(tmp_path / "ladder")
    ((run_id,),) = ask(ladder, "SELECT run_id FROM runs")
    before = dict(ask(ladder, "SELECT agent, version FROM agent_versions"))
    carried = ask(ladder, "SELECT p1, p1_version FROM battles UNION SELECT p2, p2_version FROM battles")
    assert dict(carried) == before
    bot.write_text(BOT.format(base="MaxBasePowerPlayer"))
    unfinished(ladder, "unfinished", run_id, battles_per_matchup=2)
    ladder.store.add_versions(
        [
            AgentVersion("unfinished", agent, version, parts, datetime.now(UTC))
            for agent, version, parts in ask(ladder, "SELECT agent, version, parts FROM agent_versions")
        ]
    )
    refused = cli("tournament", "--resume")
    assert refused.returncode == 1
    line = refused.stderr.splitlines()[-1]
    assert line.startswith("Error: agent Bot differs from its version in run unfinished")
    assert "(module their_bots changed)" in line
    assert "--allow-changed" in line
    assert f"Resuming run unfinished runs agent Bot: their_bots:Bot from {bot}." in refused.stderr

    fresh = cli("tournament", *names, "--battles-per-matchup", "2", "--workers", "1")
    assert fresh.returncode == 0
    assert re.search(
        r"^Seed (\d+) was drawn: play the same battles again with --seed \1\.$", fresh.stderr, re.MULTILINE
    )
    assert re.search(
        r"warning: agent Bot has version \w+ now, and had \w+ in run \S+ \(module their_bots changed\)", fresh.stderr
    )
    pooled = cli("stats", "--format", "csv")
    assert re.search(r"warning: Bot has games of 2 versions, .*\w+ \(2\), \w+ \(2\)", pooled.stderr)
    apart = cli("ratings", "--by-version", "--format", "csv")
    assert "versions" not in apart.stderr
    assert len(set(re.findall(r"Bot#\w{12}", apart.stdout))) == 2
    for relation in (ladder.elo(by_version=True), ladder.matchups(by_version=True)):
        assert len({name for (name,) in relation.project("agent").fetchall() if name.startswith("Bot#")}) == 2

    assert cli("tournament", "--resume", "--allow-changed", "--workers", "1").returncode == 0
    latest = "SELECT count(DISTINCT version) FROM internal.version_files WHERE run_id = 'unfinished' AND agent = 'Bot'"
    assert ask(ladder, latest) == [(2,)], "from now on the other version is the run's"


def test_a_class_of_a_notebook_resumes(tmp_path: Path) -> None:
    """Without naming it again, from where it is defined; elsewhere the reason is told."""
    script = tmp_path / "notebook.py"
    script.write_text(
        "import bots, pathlib, pokeladder, sys\n"
        "from pokeladder.errors import InterruptedRunError\n"
        "class Mine(bots.Waits):\n"
        "    pass\n"
        "if __name__ == '__main__':\n"
        "    ladder = pokeladder.open('ladder')\n"
        "    limit = pathlib.Path('limit')\n"
        "    if sys.argv[1] == 'play':\n"
        "        limit.write_text('3')\n"
        "        def stop(progress):\n"
        "            if progress.stored:\n"
        "                raise KeyboardInterrupt\n"
        "        agents = ['random', pokeladder.Agent('Mine', Mine, {'folder': '.'})]\n"
        "        settings = {'battles_per_matchup': 12, 'workers': 1, 'turn_timeout': 3600}\n"
        "        try:\n"
        "            ladder.tournament(agents, seed=1, watch=stop, **settings)\n"
        "        except InterruptedRunError:\n"
        "            pass\n"
        "    else:\n"
        "        limit.unlink()\n"
        "        assert ladder.tournament(resume=True).stored == 12\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(HELPERS)}
    for step in ("play", "resume"):
        subprocess.run([sys.executable, str(script), step], cwd=tmp_path, env=environment, check=True)
    ladder = pokeladder.open(tmp_path / "ladder")
    ((run_id,),) = ask(ladder, "SELECT run_id FROM runs")
    unfinished(ladder, "unfinished", run_id)
    with pytest.raises(AgentError, match="agent Mine is the class Mine of a notebook or script"):
        ladder.tournament(resume=True)


@pytest.mark.parametrize("name", ["gen1ou@@@!Sleep Clause Mod", "gen1ou@@@+Mewtwo", "[Gen 1] OU@@@Item Clause"])
def test_custom_rules_are_refused(ladder: pokeladder.Ladder, name: str) -> None:
    with pytest.raises(FormatError, match="has custom rules, which are not supported"):
        ladder.tournament(TWO, battle_format=name)
    assert ask(ladder, "FROM runs") == []


def test_agents_that_choose_invalidly_are_marked(tmp_path: Path, cli: Cli) -> None:
    bot = BOT.format(base="RandomPlayer").replace("pass", "choose_move = int")
    (tmp_path / "nonsense.py").write_text(bot)
    played = cli("tournament", "random", "nonsense:Bot", "--battles-per-matchup", "2", "--workers", "1")
    for shown in (played, cli("ratings", "--prior", "1")):
        assert re.search(r"^ +\d +Bot \(!\) ", shown.stdout, re.MULTILINE)
        assert not re.search(r"random \(!\)", shown.stdout)
        assert "(!) more than 5% of the decisions were invalid" in shown.stderr
        assert "(Bot 100.0%)" in shown.stderr


def test_what_cannot_be_recorded_is_counted(tmp_path: Path, cli: Cli) -> None:
    """Wherever trajectories are asked about."""
    store = pokeladder.open(tmp_path / "ladder").store
    store.add_run(run_of("run", 3))
    whole, half, none = (battle(game, "ann", "bob", "p1") for game in range(3))
    BatchWriter(store, "run").write([whole, replace(half, unrecorded=1), replace(none, unrecorded=2)])
    ladder = pokeladder.open(tmp_path / "ladder")
    assert ladder.unrecorded("run") == 3
    assert ask(ladder, "SELECT unrecorded FROM runs") == [(3,)]
    assert "note: 3 trajectories of run run could not be recorded\n" in cli("check").stdout
    counted = cli("export-filtered", "--dry-run", "--agent", "bob").stdout
    assert "3 more trajectories could not be recorded when they were played.\n" in counted
    assert "could not be recorded" not in cli("export-filtered", "--dry-run", "--run", "other").stdout
    assert ladder.export_filtered(tmp_path / "v0").unrecorded == 3
    assert json.loads((tmp_path / "v0" / "filtering_stats.json").read_text())["unrecorded"] == 3


def test_check_names_battles_that_are_equal(tmp_path: Path) -> None:
    store = pokeladder.open(tmp_path / "ladder").store
    for run_id in ("first", "second"):
        store.add_run(run_of(run_id, 5))
        battles = [battle(game, "ann", "bob", "p1", battle_id=f"{run_id}-{game}", run_id=run_id) for game in range(5)]
        BatchWriter(store, run_id).write([replace(one, run_seed="1", played=game) for game, one in enumerate(battles)])
    checked = pokeladder.open(tmp_path / "ladder").check()
    assert not checked.faults
    (note,) = checked.notes
    assert note.startswith("5 battles equal earlier ones and do not count in ratings: second-0 equals first-0, ")
    assert "and 2 more" in note
