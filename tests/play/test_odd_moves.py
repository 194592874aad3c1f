"""Trajectories of battles in which moves call others, lock their user in, copy or take choices away."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import lz4.frame
import pytest
from poke_env.battle import Pokemon
from poke_env.player import Player

import pokeladder
from odd_teams import FORMATS, odd_teams
from pokeladder.play.embedded.perspective import SteadyBattle, choice_text
from pokeladder.play.messages import ReconstructJob
from pokeladder.play.server.reconstruct import Rebuilder
from pokeladder.runs.teams import with_distinct_names
from pokeladder.simulator.process import Inquiry
from pokeladder.simulator.setup import Simulator
from pokeladder.trajectories.builder import TrajectoryBuilder
from pokeladder.trajectories.observation import Observation
from running import slowly


def team_set(folder: Path, battle_format: str, teams: list[str]) -> str:
    (folder / "odd" / battle_format).mkdir(parents=True)
    for number, team in enumerate(teams):
        (folder / "odd" / battle_format / f"{number}.{battle_format}_team").write_text(team)
    return str(folder / "odd")


def assert_all_recorded(ladder: pokeladder.Ladder, inquiry: Inquiry, gen: int) -> None:
    """Both sides of each battle have a trajectory, which is the one that its input log gives; the replay agrees."""
    rebuilder = Rebuilder(inquiry)
    battles = ladder.sql(
        "SELECT battle_id, format, winner, turns, p1_invalid + p2_invalid, input_log"
        " FROM battles JOIN input_logs USING (battle_id)"
    ).fetchall()
    assert battles
    for battle_id, battle_format, winner, turns, invalid, input_log in battles:
        assert invalid == 0
        replayed = inquiry.replay(input_log)
        assert (replayed["winner"], replayed["turns"]) == (winner, turns)
        found = ladder.sql(
            "SELECT document FROM trajectories JOIN documents USING (trajectory_id, document_file) "
            f"WHERE battle_id = '{battle_id}' ORDER BY side"
        ).fetchall()
        told = rebuilder.rebuild(ReconstructJob(0, battle_format, gen, input_log, ((), ()))).trajectories
        assert [document for (document,) in found] == [lz4.frame.decompress(side.frame) for side in told if side]
        assert len(found) == 2
        for (document,) in found:
            assert_right(json.loads(document))


def assert_right(document: dict[str, Any]) -> None:
    for state, action in zip(document["states"], document["actions"], strict=True):
        listed = state["player_active_pokemon"]["moves"]
        assert -1 <= action < 4 + len(state["available_switches"]) or 9 <= action < 9 + len(listed)
        for pokemon in (state["player_active_pokemon"], *state["available_switches"], state["opponent_active_pokemon"]):
            assert all(0 <= move["current_pp"] <= move["max_pp"] for move in pokemon["moves"])


@pytest.mark.parametrize(
    ("gen", "battles", "pair"),
    [
        (4, 4, ("random", "heuristics")),
        *(slowly(gen, 50, pair) for gen in FORMATS for pair in (("random", "heuristics"), ("random", "max-power"))),
    ],
)
@pytest.mark.timeout(900)
def test_no_trajectory_is_lost_whatever_moves_do(
    ladder: pokeladder.Ladder,
    tmp_path: Path,
    simulator: Simulator,
    inquiry: Inquiry,
    gen: int,
    battles: int,
    pair: tuple[str, str],
) -> None:
    battle_format = FORMATS[gen]
    teams = odd_teams(simulator, inquiry, gen, battle_format, 3 if battles < 50 else 25)
    said: list[str] = []
    reached = ladder.tournament(
        pair,
        battles_per_matchup=battles,
        battle_format=battle_format,
        team_set=team_set(tmp_path, battle_format, teams),
        workers=1,
        notify=said.append,
    )
    assert (reached.stored, reached.void) == (battles, 0)
    assert not [line for line in said if "warning" in line]
    assert_all_recorded(ladder, inquiry, gen)


@pytest.fixture
def position() -> SteadyBattle:
    battle = SteadyBattle("battle-gen1ou-1", "me", logging.getLogger(__name__), 1)
    battle._player_role = "p1"
    return battle


def entry(name: str, moves: list[str], *, active: bool = False, condition: str = "300/300") -> dict[str, Any]:
    return {
        "ident": f"p1: {name}",
        "details": name.lstrip("0123456789 "),
        "condition": condition,
        "active": active,
        "stats": {},
        "moves": moves,
        "baseAbility": "none",
        "item": "",
        "pokeball": "",
    }


def request(moves: list[dict[str, Any]], *side: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"active": [{"moves": moves, **more}], "side": {"name": "me", "id": "p1", "pokemon": list(side)}}


def move(name: str, pp: float = 10, maxpp: int = 16, *, disabled: bool = False) -> dict[str, Any]:
    return {"move": name, "id": name, "pp": pp, "maxpp": maxpp, "target": "normal", "disabled": disabled}


def begin(battle: SteadyBattle, asked: dict[str, Any]) -> Observation:
    for line in ("|switch|p1a: Clefable|Clefable|300/300", "|switch|p2a: Chansey|Chansey|100/100"):
        battle.parse_message(line.split("|"))
    battle.parse_request(asked)
    observation = Observation(battle, "gen1ou")
    observation.begin(asked)
    return observation


def actions_after(battle: SteadyBattle, asked: dict[str, Any], choice: str) -> list[int]:
    observation = begin(battle, asked)
    builder = TrajectoryBuilder(observation, "gen1ou")
    builder.act(choice)
    observation.end()
    return list(json.loads(lz4.frame.decompress(builder.finish()[0]))["actions"])


@pytest.mark.parametrize(
    ("moves", "listed", "choice", "action"),
    [
        pytest.param(["rage"], ["metronome"], "move rage", 0, id="a called move goes on"),
        pytest.param(["metronome", "surf"], ["metronome", "surf"], "move bind", 0, id="and it was not shown"),
        pytest.param(["surf", "dig"], ["surf", "dig"], "move surf", 1, id="in alphabetical order"),
        pytest.param(["dig"], ["surf", "dig", "fly"], "move dig", 0, id="a move of its own goes on"),
        pytest.param(["fight"], ["surf", "dig"], "move fight", 0, id="nothing to choose"),
        pytest.param(list("abcde"), ["surf", "dig", "fly", "bite", "acid"], "move acid", -1, id="a fifth move"),
        pytest.param(["surf", "rest", "rest"], ["surf", "rest", "rest"], "move 3", 0, id="one of two of a name"),
    ],
)
def test_actions(position: SteadyBattle, moves: list[str], listed: list[str], choice: str, action: int) -> None:
    offered = [move(name) for name in (listed if moves == list("abcde") else moves)]
    asked = request(offered, entry("Clefable", listed, active=True), entry("Mew", ["surf"]))
    assert actions_after(position, asked, choice) == [action, -1]


def test_a_called_move_that_goes_on_is_all_that_a_policy_can_choose(position: SteadyBattle) -> None:
    asked = request([{"move": "Rage", "id": "rage"}], entry("Clefable", ["metronome"], active=True), trapped=True)
    assert begin(position, asked).options() == {0: "move 1"}
    assert [order.message for order in position.valid_orders] == ["/choose move rage"]


def test_pp_above_the_most_there_can_be(position: SteadyBattle) -> None:
    asked = request([move("surf", 60, 32), move("dig", 15.5, 8)], entry("Clefable", ["surf", "dig"], active=True))
    state = json.loads(begin(position, asked).state())
    assert [(m["current_pp"], m["max_pp"]) for m in state["player_active_pokemon"]["moves"]] == [(32, 32), (8, 8)]


def test_a_called_move_is_none_of_the_pokemons_own(position: SteadyBattle) -> None:
    begin(position, request([move("metronome")], entry("Clefable", ["metronome"], active=True)))
    position.parse_message(["", "move", "p2a: Chansey", "Metronome", "p2a: Chansey"])
    position.parse_message(["", "move", "p2a: Chansey", "Rage", "p1a: Clefable", "[from] Metronome"])
    position.parse_message(["", "move", "p2a: Chansey", "Rage", "p1a: Clefable", "[from] Rage"])
    assert list(position.opponent_active_pokemon.moves) == ["metronome"]
    assert position._replay_data[-1][-1] == "[from] Rage"


def test_orders_that_a_name_does_not_tell(position: SteadyBattle) -> None:
    """Two moves of one name of which the first has no PP, and a Pokémon named like what the active one has become."""
    asked = request(
        [move("rest", 0, disabled=True), move("rest", 5)],
        entry("Clefable", ["rest", "rest"], active=True),
        entry("3 Mew", ["surf"]),
    )
    begin(position, asked)
    told = [choice_text(order, position) for order in position.valid_orders]
    assert told == ["/choose switch 2", "/choose move 2"]
    stranger = Player.create_order(Pokemon(1, species="mew"))
    assert choice_text(stranger, position) == stranger.message
    assert choice_text("/choose switch Mew", position) == "/choose switch Mew"


def test_two_of_one_species(position: SteadyBattle) -> None:
    for name in ("A", "B"):
        position.parse_message(f"|switch|p2a: {name}|Mew|100/100".split("|"))
    assert [*position.opponent_team] == ["p2: A", "p2: B"]


@pytest.mark.parametrize(
    ("packed", "names"),
    [
        ("A|mew|||]B|mew|||", "A|mew|||]B|mew|||"),
        ("Mew||||]mew||||]Mew 2|mew|||", "Mew||||]mew 2|mew|||]Mew 2 2|mew|||"),
        ("Abcdefghijklmnopqr|mew|]Abcdefghijklmnopqr|mew|", "Abcdefghijklmnopqr|mew|]Abcdefghijklmnop 2|mew|"),
    ],
)
def test_names_of_a_team_are_made_distinct(packed: str, names: str) -> None:
    assert with_distinct_names(packed) == names
