"""Agents that choose for many positions at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import bots
import pokeladder
from pokeladder import Agent
from running import slowly


def played(ladder: pokeladder.Ladder) -> list[tuple[Any, ...]]:
    """What was played, whoever the players were."""
    return ladder.sql(
        "SELECT game, winner, turns, end_reason, p1_steps, p2_steps, p1_invalid, p2_invalid, p1_team, p2_team,"
        " regexp_extract(input_log, '(>p[12] (move|switch).*)', 1, 's')"
        " FROM battles JOIN input_logs USING (battle_id) WHERE outcome <> 'void' ORDER BY game"
    ).fetchall()


def noted(folder: Path, word: str) -> list[int]:
    lines = [line.split() for path in folder.glob("*.txt") for line in path.read_text().splitlines()]
    return [int(number) for said, number in lines if said == word]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    (tmp_path / "notes").mkdir()
    return tmp_path / "notes"


@pytest.mark.parametrize(
    ("kind", "size", "simulators"),
    [
        (bots.Batched, None, 1),
        slowly(bots.BatchedLater, None, 2),
        (bots.BatchedLater, 3, 2),
    ],
)
def test_batches_play_as_single_positions_do(
    ladder: pokeladder.Ladder, tmp_path: Path, notes: Path, kind: type, size: int | None, simulators: int
) -> None:
    """The same battles, both sides of each asked together, and each battle mentioned when it begins and ends."""
    agent = Agent("one", kind, {"folder": str(notes), "size": size})
    ladder.selfplay(agent, num_battles=24, parallel_instances=12, workers=1, simulators=simulators, seed=0)
    alone = pokeladder.open(tmp_path / "alone")
    alone.selfplay(Agent("one", bots.Strongest), num_battles=24, workers=1, seed=0)
    assert played(ladder) == played(alone)
    asked = noted(notes, "asked")
    assert sum(asked) == ladder.sql("SELECT sum(p1_steps + p2_steps) FROM battles").fetchall()[0][0]
    assert max(asked) == 3 if size else sum(asked) / len(asked) > 4
    # The process is ended when the last results are there.
    left = noted(notes, "left")
    assert 48 - 2 <= len(left) <= 48
    assert max(left) < 24


def test_against_another_agent(ladder: pokeladder.Ladder, tmp_path: Path, notes: Path) -> None:
    alone = pokeladder.open(tmp_path / "alone")
    for where, kind, parameters in ((ladder, bots.Batched, {"folder": str(notes)}), (alone, bots.Strongest, {})):
        agents = [Agent("x", kind, parameters), "heuristics"]
        where.tournament(agents, battles_per_matchup=8, battle_format="gen9randombattle", workers=1, seed=0)
    assert played(ladder) == played(alone)


def test_what_is_drawn_by_the_decision_repeats(ladder: pokeladder.Ladder, tmp_path: Path, notes: Path) -> None:
    again = pokeladder.open(tmp_path / "again")
    agent = Agent("lucky", bots.BatchedLuck, {"folder": str(notes)})
    ladder.selfplay(agent, num_battles=8, parallel_instances=8, workers=1, seed=0)
    again.selfplay(agent, num_battles=8, parallel_instances=3, workers=2, seed=0)
    assert played(ladder) == played(again)


@pytest.mark.parametrize("kind", [bots.BatchedTrouble, bots.BatchedShort])
def test_only_the_positions_that_it_cannot_deal_with_are_invalid(
    ladder: pokeladder.Ladder, notes: Path, kind: type
) -> None:
    heard: list[str] = []
    agent = Agent("one", kind, {"folder": str(notes)})
    ladder.selfplay(agent, num_battles=6, parallel_instances=6, workers=1, seed=0, notify=heard.append)
    invalid, steps, sevens = ladder.sql(
        "SELECT sum(p1_invalid + p2_invalid), sum(p1_steps + p2_steps), sum(turns // 7) FROM battles"
    ).fetchall()[0]
    (told,) = heard
    assert "agent one raised: ValueError" in told
    if kind is bots.BatchedShort:
        assert "choose_batch made 0 choices for 1 positions" in told
        assert invalid == steps
    else:
        assert 2 * sevens <= invalid < steps / 2


def test_a_batch_that_takes_too_long(ladder: pokeladder.Ladder, notes: Path) -> None:
    agent = Agent("slow", bots.BatchedSleep, {"folder": str(notes), "size": 4})
    reached = ladder.tournament(
        [agent, "random"], battles_per_matchup=4, workers=1, parallel=4, turn_timeout=2, max_timeouts=2
    )
    assert reached.stored == 4
    assert ladder.sql("SELECT DISTINCT end_reason, if(winner = 'p1', p1, p2) FROM battles").fetchall() == [
        ("timeout", "random")
    ]


def test_a_simulator_that_dies_takes_its_positions_along(ladder: pokeladder.Ladder, notes: Path) -> None:
    agent = Agent("one", bots.BatchedKill, {"folder": str(notes)})
    reached = ladder.selfplay(agent, num_battles=30, parallel_instances=10, workers=1, simulators=2)
    (killed,) = notes.glob("*.killed")
    lost = killed.read_text().split()
    assert len(lost) >= 2
    assert reached.stored == 30
    assert len(lost) <= reached.void <= 10
    # What was kept for the battles that were lost is forgotten as well; the last hook may come too late.
    assert noted(notes, "left")[-1] <= 2


def test_on_a_server(ladder: pokeladder.Ladder, tmp_path: Path, notes: Path) -> None:
    alone = pokeladder.open(tmp_path / "alone")
    agents = [Agent("a", bots.Batched, {"folder": str(notes)}), Agent("b", bots.BatchedLater, {"folder": str(notes)})]
    reached = ladder.tournament(agents, battles_per_matchup=2, venue="server", workers=1, seed=0)
    assert reached.stored == 2
    assert set(noted(notes, "left")) == {0}
    alone.tournament(agents, battles_per_matchup=2, workers=1, seed=0)
    assert played(ladder) == played(alone)


def test_old_simulators_are_renewed(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    """And nothing is lost or changed by it."""
    seen = tmp_path / "seen"
    heard: list[str] = []
    agent = Agent("one", bots.Renews, {"path": str(seen)})
    settings = {"num_battles": 40, "parallel_instances": 4, "workers": 1, "trajectories": False, "seed": 0}
    reached = ladder.selfplay(agent, **settings, notify=heard.append)
    assert (reached.stored, reached.void, heard) == (40, 0, [])
    assert len(set(seen.read_text().split())) >= 3
    alone = pokeladder.open(tmp_path / "alone")
    alone.selfplay(Agent("one", bots.Strongest), **settings)
    assert played(ladder) == played(alone)
