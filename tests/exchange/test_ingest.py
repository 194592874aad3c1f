"""Taking in what metamon has written: nothing is lost, nothing counts twice, and no battle is made of two."""

from __future__ import annotations

import copy
import functools
import itertools
import json
import operator
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import lz4.frame
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metamon_data as data
import pokeladder
import pokeladder.exchange.ingest
import pokeladder.system.processes
from metamon_data import BASELINES, DATA, LADDER, battle, file_name, rows, still, write, write_log
from pokeladder.errors import StoreError, UsageError
from pokeladder.metamon import files as metamon_files
from running import slowly

Cli = Callable[..., subprocess.CompletedProcess[str]]
TRAJECTORIES, LOGS = LADDER / "trajectories", LADDER / "team_results"
OF_A, OF_B = (sorted(TRAJECTORIES.rglob(f"*_{player}_vs_*")) for player in ("RandA-1", "RandB-1"))
LOG_A, LOG_B = (LOGS / f"battle_log_{player}_gen1ou.csv" for player in ("RandA-1", "RandB-1"))
SUMMARY = [
    *("result", "steps", "missing_actions", "unlisted_actions", "used_struggle", "team", "lead", "opponent_team"),
    *("opponent_lead", "final_hp", "pokemon_left", "opponent_pokemon_left"),
]


def summaries(ladder: pokeladder.Ladder) -> dict[str, dict[str, Any]]:
    found = rows(ladder, f"SELECT name, {', '.join(SUMMARY)} FROM trajectories")
    return {name: dict(zip(SUMMARY, values, strict=True)) for name, *values in found}


def sides(ladder: pokeladder.Ladder) -> set[frozenset[str]]:
    """The trajectories of each battle that has any."""
    return {frozenset(names) for (names,) in rows(ladder, "SELECT list(name) FROM trajectories GROUP BY battle_id")}


def battles(ladder: pokeladder.Ladder) -> list[Any]:
    return rows(ladder, "SELECT p1, p2, winner, p1_steps, p2_steps FROM battles ORDER BY p1, p2, p1_steps")


def test_summaries_agree_with_counting_by_hand(ladder: pokeladder.Ladder) -> None:
    ladder.ingest(LADDER, BASELINES)
    by_hand = {data.stem(path): data.summary(data.read(path)) for path in data.trajectories_in(DATA)}
    assert len(by_hand) == 16
    assert summaries(ladder) == by_hand
    assert Counter(values["result"] for values in by_hand.values()) == {"WIN": 6, "LOSS": 7, "TIE": 3}
    assert data.number_of(ladder, "steps") == sum(values["steps"] for values in by_hand.values())


def test_summaries_of_every_kind_of_action(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    document = still(17)
    document["actions"] = [*range(-1, 16), -1]
    switches = [data.pokemon(name) for name in ("gengar", "lapras", "starmie")]
    for number, changes in enumerate([{"can_tera": False}, {"can_tera": True}, {"forced_switch": True}]):
        document["states"] = [{**known, "available_switches": switches, **changes} for known in document["states"]]
        written = write(tmp_path / "in", file_name("ann", "bob", number=number), document)
        ladder.ingest(written)
        assert summaries(ladder)[data.stem(written)] == data.summary(document)
    assert rows(ladder, "SELECT unlisted_actions FROM trajectories ORDER BY 1") == [(5,), (9,), (13,)]


def test_struggle_is_noticed(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    spent = data.pokemon("tauros") | {"moves": [data.move(name) | {"current_pp": 0} for name in data.MOVES]}
    almost = spent | {"moves": [*spent["moves"][:3], data.move("hyperbeam", 1)]}
    kinds = {
        "seen": {"player_prev_move": data.move("struggle")},
        "spent": {"player_active_pokemon": spent},
        "forced": {"player_active_pokemon": spent, "forced_switch": True},
        "almost": {"player_active_pokemon": almost},
    }
    for number, (opponent, changes) in enumerate(kinds.items()):
        document = still(3)
        document["states"][2] |= changes
        write(tmp_path, file_name("ann", opponent, number=number), document)
    ladder.ingest(*data.trajectories_in(tmp_path))
    found = rows(ladder, "SELECT opponent FROM trajectories WHERE used_struggle ORDER BY opponent")
    assert found == [("seen",), ("spent",)]


def test_usage(ladder: pokeladder.Ladder) -> None:
    ladder.ingest(DATA)
    known = [data.summary(data.read(path)) for path in data.trajectories_in(DATA)]
    brought = Counter(species for values in known for species in values["team"])
    led = Counter(values["lead"] for values in known)
    points = {"WIN": 1.0, "TIE": 0.5, "LOSS": 0.0}
    wanted = {}
    for species, games in brought.items():
        score = sum(points[values["result"]] for values in known if species in values["team"])
        wanted[species] = (games, led[species], games / len(known), pytest.approx(score / games))
    found = rows(ladder, "SELECT species, games, games_led, usage, win_rate FROM usage")
    assert {species: tuple(values) for species, *values in found} == wanted


def test_what_the_opponent_has_left(ladder: pokeladder.Ladder) -> None:
    ladder.ingest(DATA)
    found = rows(ladder, "SELECT name, opponent_final_hp FROM trajectories")
    left = {data.stem(path): data.read(path)["states"][-1] for path in data.trajectories_in(DATA)}
    for name, hp in found:
        active = left[name]["opponent_active_pokemon"]["hp_pct"]
        others = left[name]["opponents_remaining"] - (active > 0)
        assert active - 1e-6 <= hp <= active + others + 1e-6, name


def test_the_ladder_folder_is_two_battles(ladder: pokeladder.Ladder) -> None:
    added = ladder.ingest(LADDER)
    assert (added.battles, added.trajectories, added.half_known, added.unsure) == (2, 4, 0, None)
    assert battles(ladder) == [("RandA-1", "RandB-1", "p1", 30, 30), ("RandA-1", "RandB-1", "p1", 77, 77)]
    teams = {(row["Player Username"], row["Battle ID"]): row["Team File"] for row in data.log_rows(LADDER)}
    found = rows(ladder, "SELECT name, agent, team_name FROM trajectories JOIN results USING (battle_id, agent)")
    assert len(found) == 4
    for name, agent, team in found:
        assert team == teams[agent, name.partition("_")[0][-10:]]
    assert sides(ladder) == {frozenset(map(data.stem, pair)) for pair in zip(OF_A, OF_B[::-1], strict=True)}


def test_the_baselines_are_780_battles(ladder: pokeladder.Ladder) -> None:
    added = ladder.ingest(BASELINES)
    assert (added.battles, added.trajectories, added.half_known) == (780, 12, 780)
    logged = data.log_rows(BASELINES)
    won = Counter((row["Player Username"], row["Opponent Username"]) for row in logged if row["Result"] == "WIN")
    played = Counter((row["Player Username"], row["Opponent Username"]) for row in logged)
    found = rows(ladder, "SELECT agent, opponent, games, wins, ties FROM matchups WHERE agent LIKE 'MM-%'")
    assert {(agent, opponent): games for agent, opponent, games, *_ in found} == played
    assert {(agent, opponent): wins for agent, opponent, _, wins, _ in found} == {pair: won[pair] for pair in played}
    assert sum(row[-1] for row in found) == 3
    ((steps,),) = rows(ladder, "SELECT sum(steps) FROM results WHERE agent LIKE 'MM-%'")
    assert steps == sum(int(row["Turn Count"]) for row in logged)


def stored(ladder: pokeladder.Ladder) -> dict[str, bytes]:
    return dict(rows(ladder, "SELECT trajectory_id, document FROM documents"))


def test_documents_stay_as_they_are(ladder: pokeladder.Ladder) -> None:
    ladder.ingest(DATA)
    assert stored(ladder) == {data.stem(path): data.content(path) for path in data.trajectories_in(DATA)}


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT, st.lists, max_leaves=4
)


@settings(max_examples=8)
@given(
    extra=st.dictionaries(TEXT.filter(lambda key: key not in still(1)["states"][0]), JSON, max_size=3),
    seed=st.integers(0, 9),
    style=st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t"), ("\r\n,", "  :  ")]),
    is_ascii=st.booleans(),
    suffix=st.sampled_from([".json", ".json.lz4"]),
)
def test_any_way_to_write_json_is_kept_and_understood(
    tmp_path_factory: pytest.TempPathFactory,
    extra: dict[str, Any],
    seed: int,
    style: tuple[str, str],
    is_ascii: bool,
    suffix: str,
) -> None:
    document = data.play(seed, "p1", 5)[0]
    states = [dict(random.Random(seed).sample([*known.items(), *extra.items()], len(known) + len(extra)))
              for known in document["states"]]  # fmt: skip
    odd = {**{key: value for key, value in extra.items() if key not in document}, "actions": document["actions"]}
    text = f" \n{json.dumps({**odd, 'states': states}, separators=style, ensure_ascii=is_ascii)}\n\n".encode()
    folder = tmp_path_factory.mktemp("odd")
    written = write(folder, file_name("ann", "bob"), text, suffix)
    ladder = pokeladder.open(folder / "ladder")
    assert ladder.ingest(written).broken == []
    assert stored(ladder) == {data.stem(written): text}
    assert summaries(ladder) == {data.stem(written): data.summary(document)}
    found = rows(ladder, "SELECT action, player_active_pokemon.hp_pct, choice IS NULL FROM steps ORDER BY step")
    shown = [known["player_active_pokemon"]["hp_pct"] for known in states[:-1]]
    missing = [not data.is_listed(*step) for step in zip(states[:-1], document["actions"], strict=False)]
    assert found == list(zip(document["actions"][:-1], shown, missing, strict=True))


PARTS = {
    "at once": [[TRAJECTORIES, LOGS]],
    "twice": [[LADDER], [LADDER]],
    "one folder in another": [[LADDER, TRAJECTORIES, LOGS, LADDER]],
    "logs last": [[TRAJECTORIES], [LOGS]],
    "logs first": [[LOGS], [TRAJECTORIES]],
    "one side first": [[LOG_A, *OF_A], [LOG_B, *OF_B]],
    "a log at a time": [[LOG_A], [LOG_B], [TRAJECTORIES]],
    "logs of the other side": [[*OF_A], [LOG_B], [*OF_B], [LOG_A]],
    "player by player": [[*OF_A, LOG_A], [*OF_B, LOG_B]],
}


@pytest.mark.parametrize(
    "parts",
    [slowly(parts) if name in ("twice", "logs first", "player by player") else parts for name, parts in PARTS.items()],
    ids=PARTS,
)
def test_parts_make_the_same_battles(ladder: pokeladder.Ladder, parts: list[list[Path]]) -> None:
    added = [ladder.ingest(*part) for part in parts]
    assert sum(part.battles for part in added) == 2
    assert sum(part.trajectories for part in added) == data.number_of(ladder, "trajectories") == 4
    assert [row[:3] for row in battles(ladder)] == [("RandA-1", "RandB-1", "p1")] * 2
    assert sides(ladder) == {frozenset(map(data.stem, pair)) for pair in zip(OF_A, OF_B[::-1], strict=True)}
    assert summaries(ladder) == {data.stem(path): data.summary(data.read(path)) for path in (*OF_A, *OF_B)}
    assert data.number_of(ladder, "steps") == 2 * (30 + 77)
    assert data.number_of(ladder, "results") == 4
    again = ladder.ingest(LADDER)
    assert (again.run_id, again.battles, again.trajectories, again.already_there) == (None, 0, 0, 8)


def test_the_machine_s_time_zone_does_not_matter(cli: Cli, ladder: pokeladder.Ladder) -> None:
    for part in (OF_A, OF_B):
        assert cli("ingest", *map(str, part), env={"TZ": "America/New_York"}).returncode == 0
    assert data.number_of(ladder, "battles") == 2
    first = datetime(2026, 11, 22, 17, 14, 30)  # noqa: DTZ001 - UTC without saying so
    assert min(rows(ladder, "SELECT played_at FROM trajectories")) == (first,)


def test_a_trajectory_joins_the_battle_of_its_row(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    ladder.ingest(BASELINES / "team_results")
    assert ladder.ingest(BASELINES / "trajectories").battles == 0
    assert data.number_of(ladder, "battles") == 780
    steps = rows(
        ladder,
        "SELECT trajectories.steps, results.steps FROM trajectories JOIN results USING (battle_id, agent)",
    )
    assert len(steps) == 12
    assert all(seen == logged for seen, logged in steps)


def test_logs_that_mirror_each_other_are_of_the_same_battles(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    write_log(tmp_path, "ann", [("bob", "WIN", 20, "0000000001"), ("bob", "LOSS", 30, "0000000002"),
                                ("bob", "LOSS", 40, "0000000003"), ("cat", "LOSS", 9, "0000000004")])  # fmt: skip
    write_log(tmp_path, "bob", [("ann", "LOSS", 21, "0000000005"), ("ann", "WIN", 28, "0000000006"),
                                ("ann", "LOSS", 41, "0000000007")])  # fmt: skip
    added = ladder.ingest(tmp_path)
    assert (added.battles, added.half_known, added.unsure) == (4, 1, None)
    both = [("ann", "bob", None, 40, 41), ("ann", "bob", "p1", 20, 21), ("ann", "bob", "p2", 30, 28)]
    assert sorted(battles(ladder), key=str) == sorted([*both, ("ann", "cat", "p2", 9, None)], key=str)


@pytest.mark.parametrize("parts", ["ab AB", slowly("a b A B"), "a b B A", slowly("b a A B"), slowly("ab A B")])
def test_logs_may_grow(ladder: pokeladder.Ladder, tmp_path: Path, parts: str) -> None:
    games = [("bob", "WIN", 20, "0000000001"), ("bob", "LOSS", 30, "0000000002"), ("bob", "WIN", 40, "0000000003")]
    facing = [("ann", "LOSS", 21, "0000000004"), ("ann", "WIN", 31, "0000000005"), ("ann", "LOSS", 41, "0000000006")]
    logs = {"a": ("ann", games[:2]), "b": ("bob", facing[:2]), "A": ("ann", games), "B": ("bob", facing)}
    for part in parts.split():
        ladder.ingest(*(write_log(tmp_path / part, *logs[log]) for log in part))
        assert data.number_of(ladder, "battles") == (2 if part.islower() else 3)


@pytest.mark.parametrize(
    "games",
    [
        [("ann", "LOSS", 20, "0000000003")],
        [("ann", "WIN", 20, "0000000003"), ("ann", "LOSS", 30, "0000000004")],
        [("ann", "LOSS", 60, "0000000003"), ("ann", "WIN", 30, "0000000004")],
        [("ann", "WIN", 30, "0000000003"), ("ann", "LOSS", 20, "0000000004")],
    ],
    ids=["fewer", "both won", "lengths differ", "another order"],
)
def test_logs_that_do_not_mirror_each_other_stay_apart(
    ladder: pokeladder.Ladder, tmp_path: Path, games: list[Any]
) -> None:
    write_log(tmp_path, "ann", [("bob", "WIN", 20, "0000000001"), ("bob", "LOSS", 30, "0000000002")])
    write_log(tmp_path, "bob", games)
    added = ladder.ingest(tmp_path)
    assert added.battles == added.half_known == 2 + len(games)
    assert added.unsure is not None
    assert {*added.unsure[1:]} == {"ann", "bob"}


APART = {
    "the same content at once": [
        *(data.short("ann", "bob", "WIN", number, 5 * number) for number in range(2)),
        *(data.short("bob", "ann", "LOSS", number, 5 * number) for number in range(2, 4)),
    ],
    "more than a minute": [data.short("ann", "bob", "WIN", 1), data.short("bob", "ann", "LOSS", 2, 61)],
    "two wins": [data.short("ann", "bob", "WIN", 1), data.short("bob", "ann", "WIN", 2)],
    "two losses": [data.short("ann", "bob", "LOSS", 1), data.short("bob", "ann", "LOSS", 2)],
    "other players": [data.short("ann", "bob", "WIN", 1), data.short("bob", "cat", "LOSS", 2)],
    "the same side": [data.short("ann", "bob", "WIN", 1), data.short("ann", "bob", "LOSS", 2)],
}


@pytest.mark.parametrize("views", APART.values(), ids=APART)
def test_points_of_view_that_may_be_of_two_battles_stay_apart(
    ladder: pokeladder.Ladder, tmp_path: Path, views: list[data.View]
) -> None:
    for view in views:
        (data.mirrored(view) if view.player == "bob" else view).save(tmp_path / "in")
    added = ladder.ingest(tmp_path / "in")
    assert (added.battles, added.half_known) == (len(views), len(views))
    assert len(sides(ladder)) == len(views)


@pytest.mark.parametrize("parts", [["ann", "bob"], ["*"]], ids=["one side first", "at once"])
def test_what_is_unsure_is_said(cli: Cli, tmp_path: Path, parts: list[str]) -> None:
    for view in APART["the same content at once"]:
        (data.mirrored(view) if view.player == "bob" else view).save(tmp_path / "in")
    for part in parts:
        shown = cli("ingest", *map(str, (tmp_path / "in").glob(f"*_{part}_vs_*")))
        assert shown.returncode == 0
        assert f"{4 // len(parts)} battles are known from one side only" in shown.stdout
    assert re.search(r"warning: [24] perspectives match several others", shown.stderr)


@pytest.mark.parametrize("at_once", [True, False])
def test_equal_digits_mean_nothing(ladder: pokeladder.Ladder, tmp_path: Path, at_once: bool) -> None:
    pairs = [battle(7, ("ann", opponent), after=after) for opponent, after in (("bob", 0), ("cat", 0), ("bob", 90))]
    files = [view.save(tmp_path / "in") for pair in pairs for view in pair]
    for part in [files] if at_once else [files[:2], files[2:]]:
        ladder.ingest(*part)
    assert sides(ladder) == {frozenset(view.name for view in pair) for pair in pairs}


def test_a_short_pair_is_one(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    data.short("ann", "bob", "WIN", 1).save(tmp_path / "in")
    data.mirrored(data.short("bob", "ann", "LOSS", 2, 60)).save(tmp_path / "in")
    assert ladder.ingest(tmp_path / "in").battles == 1


@pytest.mark.parametrize("what", ["hp_pct", "move"])
def test_contents_that_contradict_each_other_are_of_two_battles(
    ladder: pokeladder.Ladder, tmp_path: Path, what: str
) -> None:
    ours, theirs = data.short("ann", "bob", "WIN", 1), data.mirrored(data.short("bob", "ann", "LOSS", 2, 3))
    if what == "hp_pct":
        ours.document["states"][1]["player_active_pokemon"]["hp_pct"] = 0.25
        theirs.document["states"][1]["opponent_active_pokemon"]["hp_pct"] = 0.75
    else:
        ours.document["states"][1]["player_prev_move"] = data.move("bodyslam")
        theirs.document["states"][1]["opponent_prev_move"] = data.move("blizzard")
    for view in (ours, theirs):
        view.save(tmp_path / "in")
    assert ladder.ingest(tmp_path / "in").battles == 2


GAME = st.tuples(
    st.sampled_from([("ann", "bob"), ("bob", "ann"), ("ann", "cat_1"), ("cat_1", "bob")]),
    st.sampled_from(["p1", "p2", None]),
    st.integers(0, 70),
    # The ingests that get its two perspectives; 3 is never.
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
)


@settings(max_examples=4)
@given(games=st.lists(GAME, min_size=1, max_size=14), order=st.randoms(use_true_random=False))
def test_every_trajectory_is_on_its_own_battle(
    tmp_path_factory: pytest.TempPathFactory, games: list[Any], order: random.Random
) -> None:
    folder = tmp_path_factory.mktemp("pairs")
    expected, parts = set(), [[], [], []]  # type: ignore[var-annotated]
    for number, (players, winner, after, when) in enumerate(games):
        kept = [pair for pair in zip(battle(number, players, winner, after), when, strict=True) if pair[1] < 3]
        for view, part in kept:
            parts[part].append(view.save(folder / "in"))
        if kept:
            expected.add(frozenset(view.name for view, _ in kept))
    ladder = pokeladder.open(folder / "ladder")
    added = 0
    for part in parts:
        order.shuffle(part)
        if part:
            added += ladder.ingest(*part).battles
    assert sides(ladder) == expected
    assert added == data.number_of(ladder, "battles") == len(expected)


def test_human_replays(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    ours, theirs = data.play(7, "p1")
    for name, document in {
        "gen1ou-123_1500_ann_vs_bob_03-01-2024_WIN": ours,
        "gen1ou-123_Unrated_bob_vs_ann_03-01-2024_LOSS": theirs,
        "gen1ou-124_1510_ann_vs_bob_03-01-2024_WIN": ours,
        "smogtours-gen1ou-124_1432_bob_vs_ann_03-01-2024_LOSS": theirs,
    }.items():
        write(tmp_path / "in", name, document)
    added = ladder.ingest(tmp_path / "in")
    assert (added.battles, added.half_known) == (3, 2)
    day = datetime(2024, 3, 1)  # noqa: DTZ001 - UTC without saying so
    found = rows(ladder, "SELECT agent, rating, played_at FROM trajectories ORDER BY rating")
    assert found == [("bob", 1432, day), ("ann", 1500, day), ("ann", 1510, day), ("bob", None, day)]
    (pair,) = (names for names in sides(ladder) if len(names) == 2)
    assert {name.partition("_")[0] for name in pair} == {"gen1ou-123"}


def test_names_of_any_kind(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    players = ["Gen1Binary_143052_A", "_", "vs", "_a__b_", "näme!", "a_vs_b"]
    for number, player in enumerate(players):
        pair = battle(number, (player, "bob"))
        for view in pair:
            view.save(tmp_path)
        write_log(tmp_path, player, [pair[0].game])
    ladder.ingest(tmp_path)
    found = rows(ladder, "SELECT agent, opponent, result FROM trajectories")
    sides = [names for player in players for names in ((player, "bob", "WIN"), ("bob", player, "LOSS"))]
    assert sorted(found) == sorted(sides)
    assert data.number_of(ladder, "battles") == len(players)


def test_an_old_tournament_tells_the_models(cli: Cli, ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    users = ["Gen1Binary_143052_A", "Gen1Binary_143052_B"]
    matchup = {"model1": "Gen1BinaryV0", "model2": "SmallRLGen1Beta", "usernames": users, "model1_wins": 1}
    (tmp_path / "in").mkdir()
    results = {"matchups": [matchup, {"model1": "other", "model2": "another"}]}
    (tmp_path / "in" / "tournament_results.json").write_text(json.dumps(results))
    for number, players in enumerate([users, [users[1], "carl"]]):
        for view in battle(number, (players[0], players[1])):
            view.save(tmp_path / "in" / "deeper")
    assert cli("ingest", "in", "--rename", "carl=Carl 2", "--rename", "nobody=x").returncode == 0
    found = rows(ladder, "SELECT agent, opponent, wins FROM matchups WHERE wins > 0 ORDER BY ALL")
    assert found == [("Gen1BinaryV0", "SmallRLGen1Beta", 1), ("SmallRLGen1Beta", "Carl 2", 1)]
    assert rows(ladder, "SELECT DISTINCT agent FROM trajectories ORDER BY 1") == [
        ("Carl 2",),
        ("Gen1BinaryV0",),
        ("SmallRLGen1Beta",),
    ]
    assert cli("ingest", "in", "--rename", "carl").returncode == 2


WHOLE = json.dumps(still(12)).encode()
NAMED = file_name("ann", "bob")
BROKEN = {
    "truncated": (NAMED, ".json.lz4", lz4.frame.compress(WHOLE)[:-30], "not a complete lz4 frame"),
    "no lz4": (NAMED, ".json.lz4", WHOLE, "not a complete lz4 frame"),
    "empty lz4": (NAMED, ".json.lz4", b"", "not a complete lz4 frame"),
    "empty": (NAMED, ".json", b"", "not a JSON object"),
    "no JSON": (NAMED, ".json", WHOLE[:-1], "not a JSON object"),
    "more after it": (NAMED, ".json", WHOLE + b"{}", "not a JSON object"),
    "array": (NAMED, ".json", b"[1, 2]", 'not a JSON object|no "states"'),
    "no states": (NAMED, ".json", b'{"actions": [-1]}', 'no "states"'),
    "no UTF-8": (NAMED, ".json", WHOLE.replace(b"tauros", b"taur\xff\xfe"), "UTF-8"),
    "states of nothing": (NAMED, ".json", b'{"states": [{}, {}], "actions": [0, -1]}', "lack"),
    "lengths": (NAMED, ".json", json.dumps({**still(12), "actions": [0] * 12}).encode(), "13 states and 12 actions"),
    "one state": (NAMED, ".json", json.dumps(still(0)).encode(), "no step"),
    "no number": (NAMED, ".json", json.dumps({**still(2), "actions": [None, 0, -1]}).encode(), "action"),
    "no player": ("metamon-gen1ou-1_Unrated_ann_01-02-2026_WIN", ".json", WHOLE, "its name has another form"),
    "tie": (NAMED.replace("WIN", "TIE"), ".json", WHOLE, "its name has another form"),
    "other JSON": ("notes", ".json", WHOLE, "its name has another form"),
    "bad date": ("gen1ou-1_1500_ann_vs_bob_02-30-2024_WIN", ".json", WHOLE, "in its name has another form"),
    "day first": ("gen1ou-1_1500_ann_vs_bob_2024-01-30_WIN", ".json", WHOLE, "in its name has another form"),
    "no format": ("battle-1_1500_ann_vs_bob_01-30-2024_WIN", ".json", WHOLE.replace(b'"format"', b'"f"'), "format"),
    "format elsewhere": (NAMED, ".json", WHOLE.replace(b'"gen1ou"', b'"../../gen1ou"'), "format"),
    "huge rating": ("gen1ou-1_99999999999_ann_vs_bob_01-30-2024_WIN", ".json", WHOLE, "rating"),
    "lost": (NAMED, ".json", json.dumps(still(12, "LOSS")).encode(), "name has WIN, .* the side has lost"),
    "won": (NAMED.replace("WIN", "LOSS"), ".json", WHOLE, "name has LOSS, .* the side has won"),
    "undecided": (NAMED, ".json", json.dumps(still(12, "TIE")).encode(), "name has WIN, .* no side has won"),
    "both won": (NAMED, ".json", WHOLE.replace(b'"battle_lost": false', b'"battle_lost": true'), "both sides have won"),
    "two frames": (NAMED, ".json.lz4", 2 * lz4.frame.compress(WHOLE), r"\d+ bytes follow its lz4 frame"),
    "scraps": (NAMED, ".json.lz4", lz4.frame.compress(WHOLE) + b"?", "1 bytes follow its lz4 frame"),
    "deep": (NAMED, ".json", WHOLE[:-1] + b', "x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", "recursion"),
    "actions": (NAMED, ".json", json.dumps({**still(12), "actions": [0] * 14}).encode(), "13 states and 14 actions"),
    "many states": (NAMED, ".json", b'{"states": [%s{}], "actions": []}' % (b"{}," * 20_000), "more than the 20,000"),
    "many commas": (NAMED, ".json", WHOLE[:-1] + b', "x": [%s0]}' % (b"0," * 11_000_000), "more than the 20,000"),
    "many species": (NAMED, ".json", json.dumps(data.crowd(101)).encode(), "more than 100 Pok"),
    "no HP at last": (NAMED, ".json", json.dumps(data.without("hp_pct")).encode(), "lacks"),
    "no number of opponents": (NAMED, ".json", json.dumps(data.without("opponents_remaining")).encode(), "lacks"),
    "escape": (file_name("ann", "b\x1b[31mob"), ".json", WHOLE, r"'b\\x1b\[31mob' cannot be a player's name"),
    "line separator": (file_name("ann", "b\u2028ob"), ".json", WHOLE, "cannot be a player's name"),
    "other direction": (file_name("a\u202enn", "bob"), ".json", WHOLE, "cannot be a player's name"),
    "bytes": (file_name("ann", "b\udcffob"), ".json", WHOLE, "cannot be a player's name"),
    "odd id": (NAMED.replace("metamon", "meta\x07mon"), ".json", WHOLE, "characters that are not printable"),
}


def test_broken_files_are_named_and_the_rest_goes_in(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    write(tmp_path / "in", file_name("ann", "carl", number=1000), still(13))
    cases = {}
    for number, (case, (name, suffix, text, _)) in enumerate(BROKEN.items()):
        path = tmp_path / "in" / f"{name.replace('0000000001', f'{number:010}')}{suffix}"
        path.write_bytes(text)
        cases[str(path)] = case
    added = ladder.ingest(tmp_path / "in")
    assert sorted(path for path, _ in added.broken) == sorted(cases)
    for path, said in added.broken:
        _, _, _, reason = BROKEN[cases[path]]
        assert re.search(reason, said), cases[path]
    assert (added.battles, added.trajectories) == (1, 1)
    assert rows(ladder, "SELECT opponent FROM trajectories") == [("carl",)]
    assert len(rows(ladder, "FROM steps")) == 13


def test_only_files_that_end_are_read(
    ladder: pokeladder.Ladder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metamon_files, "LARGEST", len(WHOLE) + 100)
    folder = tmp_path / "in"
    write(folder, file_name("ann", "carl", number=1000), WHOLE)
    numbers = itertools.count()

    def path(suffix: str = ".json") -> Path:
        return folder / f"{file_name('ann', 'bob', number=next(numbers))}{suffix}"

    os.mkfifo(path())
    os.mkfifo(folder / "battle_log_ann_gen1ou.csv")
    path().symlink_to("/dev/zero")
    path().symlink_to(tmp_path / "nowhere")
    loop = path()
    loop.symlink_to(loop)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
    (tmp_path / "socket").rename(path())
    path().write_bytes(WHOLE + b" " * 101)
    path(".json.lz4").write_bytes(lz4.frame.compress(WHOLE + b" " * 5_000_000))
    path(".json.lz4").write_bytes(lz4.frame.compress(WHOLE + b" " * 5_000_000, store_size=False))
    broken = {path for path in map(str, folder.iterdir()) if "carl" not in path}
    path().mkdir()
    added = ladder.ingest(folder)
    assert {path for path, _ in added.broken} == broken
    told = Counter(re.sub(r"\d[\d,]*\d", "#", said) for _, said in added.broken)
    assert told == {
        "it is not a regular file, but a named pipe": 2,
        "it is not a regular file, but a device": 1,
        "it is not a regular file, but a socket or a device": 1,
        "No such file or directory": 1,
        "Too many levels of symbolic links": 1,
        "it is too large: # bytes, at most # are allowed": 1,
        "it is too large: more than # bytes after decompression": 2,
    }
    assert (added.battles, added.trajectories) == (1, 1)


def test_documents_of_any_types_are_taken_or_named(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    luck = random.Random(1)
    odd = [None, True, 0, -1, 2**31, 2**64, 10**400, -0.5, 1e308, "", "\0", "x" * 101, [], [[]], {}, {"a": 1}, [None]]
    for number in range(200):
        document = copy.deepcopy(data.play(7, "p1", 5)[0])
        for _ in range(luck.choice([1, 1, 3])):
            *way, last = luck.choice(list(data.places(document)))
            below = functools.reduce(operator.getitem, way, document)
            below[last] = luck.choice(odd)
        write(tmp_path / "in", file_name("ann", f"bob{number}", number=number), document)
    added = ladder.ingest(tmp_path / "in")
    assert added.trajectories == added.battles == 200 - len(added.broken)
    assert 0 < added.battles < 200
    for view in ("steps", "trajectories", "usage", "ratings"):
        rows(ladder, f"FROM {view}")


LOG_LINES = {
    "5 columns": ("ann,team,bob,WIN,20", "line 3 has 5 of 6 columns"),
    "no number": ("ann,team,bob,WIN,many,0000000002", "line 3: the turn count is 'many', not a number"),
    "below zero": ("ann,team,bob,WIN,-1,0000000002", "line 3: the turn count"),
    "too large": ("ann,team,bob,WIN,3000000000,0000000002", "line 3: the turn count"),
    "far too large": (f"ann,team,bob,WIN,1{'0' * 30},0000000002", "line 3: the turn count"),
    "neither": ("ann,team,bob,DRAW,20,0000000002", "line 3: the result is 'DRAW'"),
    "nobody": (",team,bob,WIN,20,0000000002", "line 3: a name or the battle's id is empty"),
    "escape": ("ann,team,b\x1b[31mob,WIN,20,0000000002", "line 3: 'b\\x1b[31mob' cannot be a player's name"),
}


@pytest.mark.parametrize("line", LOG_LINES.values(), ids=LOG_LINES)
def test_a_broken_row_is_named_and_the_rest_goes_in(
    ladder: pokeladder.Ladder, tmp_path: Path, line: tuple[str, str]
) -> None:
    log = write_log(tmp_path, "ann", [("carl", "WIN", 20, "0000000001")])
    log.write_text(log.read_text() + f"{line[0]}\nann,team,dora,LOSS,20,0000000003\n")
    added = ladder.ingest(log)
    ((path, said),) = added.broken
    assert path == str(log)
    assert said.startswith(line[1])
    assert battles(ladder) == [("ann", "carl", "p1", 20, None), ("ann", "dora", "p2", 20, None)]


def test_a_byte_order_mark_belongs_to_no_column(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    log = write_log(tmp_path, "ann", [("carl", "WIN", 20, "0000000001")])
    log.write_bytes(b"\xef\xbb\xbf" + log.read_bytes())
    assert ladder.ingest(log).broken == []
    assert battles(ladder) == [("ann", "carl", "p1", 20, None)]


def test_a_log_whose_name_tells_no_format(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    log = write_log(tmp_path, "ann", [("carl", "WIN", 20, "0000000001")])
    copy = log.rename(log.with_stem(f"{log.stem} (1)"))
    ((path, said),) = ladder.ingest(copy).broken
    assert path == str(copy)
    assert "its name has another form" in said


def test_newer_logs_know_both_teams(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    log = tmp_path / "battle_log_MMVecSD-12345678_gen1ou.csv"
    head = "Player Username, Team File, Opponent Team File, Opponent Username, Result, Turn Count, Battle ID"
    player, opponent = "MMVecSD-12345678", "TaurosV0-ckpt40-t2.0-gl_05_26"
    log.write_text(
        f"{head}\n{player},teams/one,teams/two,{opponent},WIN,41,0123456789\n"
        f"{player},None,teams/two,{opponent},LOSS,9,0123456780\n"
    )
    assert ladder.ingest(log).broken == []
    found = rows(ladder, "SELECT p1, p2, p1_team, p2_team, winner, p1_steps FROM battles ORDER BY p1_steps")
    assert found == [
        (player, opponent, None, "teams/two", "p2", 9),
        (player, opponent, "teams/one", "teams/two", "p1", 41),
    ]


def test_newer_names_tell_the_team_set(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    opponents = {
        "TaurosV0-ckpt40-t2.0-gl_05_26": "_ts-gl_05_26",
        "b_ts-ob": "_ts-05-26-2026",
        "carl": "_ts-a-set",
        "dora": "",
    }
    for number, (opponent, token) in enumerate(opponents.items()):
        name = file_name("MMVecSD_1", opponent, number=number)
        write(tmp_path / "in", name.replace("_WIN", f"{token}_WIN"), still(12, weather=f"weather{number}"))
    assert ladder.ingest(tmp_path / "in").broken == []
    assert rows(ladder, "SELECT opponent, result, played_at FROM trajectories ORDER BY opponent") == sorted(
        (opponent, "WIN", data.NOON) for opponent in opponents
    )
    ladder.export_filtered(tmp_path / "out")
    names = [data.new_reader(path.name, "gen1ou") for path in (tmp_path / "out" / "gen1ou").iterdir()]
    assert sorted(names) == sorted(("MMVecSD-1", name.replace("_", "-"), data.NOON) for name in opponents)


def test_json_that_is_no_trajectory_is_left_out(cli: Cli, tmp_path: Path) -> None:
    write(tmp_path / "in", file_name("ann", "bob"), still(12))
    (tmp_path / "in" / "meta_weights.json").write_text('{"TaurosV0": 0.5}')
    shown = cli("ingest", "in")
    assert shown.returncode == 0
    assert shown.stderr.splitlines() == ["Skipped 1 JSON file without a trajectory: in/meta_weights.json"]


@pytest.mark.parametrize("name", ["x\x1b[31m", " ", "x" * 101, "\u2028"])
def test_agents_cannot_be_renamed_so(ladder: pokeladder.Ladder, tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "in", file_name("ann", "bob"), still(12))
    with pytest.raises(UsageError, match="cannot be an agent's name"):
        ladder.ingest(path, renames={"ann": name})
    matchup = {"usernames": ["ann", "bob"], "model1": name, "model2": "x"}
    (tmp_path / "in" / "tournament_results.json").write_text(json.dumps({"matchups": [matchup]}))
    ((_, said),) = ladder.ingest(tmp_path / "in").broken
    assert "cannot be a player's name" in said
    assert rows(ladder, "SELECT agent FROM trajectories") == [("ann",)]


def export(ladder: pokeladder.Ladder, folder: Path) -> list[Path]:
    ladder.export_filtered(folder, min_steps=0, max_invalid_rate=1)
    return sorted(folder.glob("*/*.json.lz4"))


def of_awkward_names(folder: Path) -> list[Path]:
    """Files of three short battles whose players' names exports change, and of the ladder's two, with logs."""
    views = [view for number in range(3) for view in battle(number, ("Gen1_A", "b_ob"), after=100 * number)]
    for player in ("Gen1_A", "b_ob"):
        write_log(folder, player, [view.game for view in views if view.player == player])
    return [*(view.save(folder) for view in views), *folder.glob("*.csv"), *OF_A, *OF_B, LOG_A, LOG_B]


def assert_known(added: pokeladder.exchange.ingest.Ingested, files: int) -> None:
    assert (added.run_id, added.battles, added.trajectories, added.already_there) == (None, 0, 0, files)


def test_an_export_is_known_where_it_comes_from(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    ladder.ingest(*of_awkward_names(tmp_path / "in"))
    exported = export(ladder, tmp_path / "out")
    assert len(exported) == 10
    assert_known(ladder.ingest(*exported), 10)


@pytest.mark.parametrize("first", [slowly("export"), slowly("originals"), "both", "sides"])
def test_an_export_and_its_originals_are_the_same_battles(tmp_path: Path, first: str) -> None:
    originals = of_awkward_names(tmp_path / "in")
    source = pokeladder.open(tmp_path / "source")
    source.ingest(*originals)
    exported = export(source, tmp_path / "out")
    ours = [path for path in exported if re.search("_(Gen1-A|RandA-1)_vs_", path.name)]
    theirs = [path for path in originals if re.search("_(b_ob|RandB-1)_", path.name)]
    ladder = pokeladder.open(tmp_path / "ladder")
    parts = {
        "export": [exported, originals],
        "originals": [originals, exported],
        "both": [[*exported, *originals]],
        "sides": [ours, theirs, originals, exported],
    }
    for part in parts[first]:
        ladder.ingest(*part)
    assert data.counts(ladder)[:3] == (5, 10, 10)
    assert {len(names) for names in sides(ladder)} == {2}
    assert data.number_of(ladder, "results") == 10
    odd = rows(ladder, "FROM trajectories JOIN battles USING (battle_id) WHERE agent <> if(side = 'p1', p1, p2)")
    assert odd == []


@pytest.mark.parametrize(("folder", "battles"), [("before", 1), ("later", 2)])
def test_one_document_under_two_names(ladder: pokeladder.Ladder, tmp_path: Path, folder: str, battles: int) -> None:
    """Only the first by its path goes in."""
    copies = [write(tmp_path / "in", file_name("x", "y", number=n, after=n), data.content(OF_A[0])) for n in range(2)]
    renamed = [path.rename(path.with_name(path.name.replace("WIN", result_in(OF_A[0])))) for path in copies]
    (tmp_path / folder).mkdir()
    original = shutil.copy(OF_A[0], tmp_path / folder)
    added = ladder.ingest(*renamed, original)
    assert (added.battles, added.trajectories, added.already_there) == (1, 1, 2)
    assert_known(ladder.ingest(*renamed), 2)
    # The rows of a log belong to the file that has their id.
    assert ladder.ingest(LADDER).battles == battles


def test_a_copy_is_known_whatever_it_is_called(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    content = data.content(OF_A[0])
    copies = [write(tmp_path / "in", name, content) for name in ("copy", "of monday", f"{NAMED}.old")]
    copies.append(tmp_path / "in" / "plain.json")
    copies[-1].write_bytes(content)
    unknown = ladder.ingest(*copies)
    assert (unknown.battles, unknown.already_there) == (0, 0)
    assert sorted(path for path, _ in unknown.broken) == sorted(map(str, copies))
    # The name of the original tells who played, wherever it lies.
    added = ladder.ingest(*copies, OF_A[0])
    assert (added.trajectories, added.already_there, added.broken) == (1, 4, [])
    assert_known(ladder.ingest(*copies), 4)


def test_a_short_copy_is_known_by_its_name_only(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    data.short("ann", "bob", "WIN", 0).save(tmp_path / "in")
    (original,) = (tmp_path / "in").rglob("*.json.lz4")
    ladder.ingest(original)
    again = ladder.ingest(shutil.copy(original, tmp_path / "copy.json.lz4"))
    assert (again.battles, again.already_there, len(again.broken)) == (0, 0, 1)


def result_in(path: Path) -> str:
    return data.stem(path).rpartition("_")[2]


def test_battles_that_end_at_once_may_be_alike(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    for number in range(5):
        data.short("ann", "bob", "WIN", number).save(tmp_path / "in")
    assert ladder.ingest(tmp_path / "in").battles == 5
    assert_known(ladder.ingest(*export(ladder, tmp_path / "out")), 5)


def test_one_ingest_waits_for_another_and_says_so(
    command_line: list[str], ladder: pokeladder.Ladder, tmp_path: Path
) -> None:
    data.many(tmp_path / "in", 1)
    with ladder.store.lock_ingest():
        process = subprocess.Popen([*command_line, "ingest", "in"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        assert process.stderr.readline().startswith("another ingest into this store is running")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130
    assert said.splitlines() == ["Interrupted: nothing was added to the store; run the same command again"]
    assert_none(ladder)


def test_broken_things_are_listed(cli: Cli, ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    good = write(folder, file_name("ann", "bob", number=9), still(12))
    (folder / f"{file_name('ann', 'bob', number=8)}.json.lz4").write_bytes(good.read_bytes()[:-40])
    write(folder, file_name("ann", "bob", number=7), b"[]")
    write_log(folder, "ann", [("carl", "WIN", "x", "0000000001"), ("carl", "WIN", 20, "0000000002")])
    (folder / "battle_log_bob_gen1ou.csv").write_text("Player,Team,Opponent,Result,Turns,ID\n")
    failed = cli("ingest", "in")
    assert failed.returncode == 1
    *lines, last = failed.stderr.splitlines()
    listed = [Path(line.removeprefix("broken: ").partition(": ")[0]).name for line in lines]
    assert sorted(listed) == sorted(path.name for path in folder.iterdir() if path != good)
    assert all(line.startswith("broken: ") for line in lines)
    assert last == "Error: 4 files or rows could not be read: see above"
    assert failed.stdout.startswith("Added 2 battles and 1 trajectory as run ")
    assert data.number_of(ladder, "battles") == 2


def test_nothing_to_ingest(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    for path, said in (("nowhere", "there is no file or folder nowhere"), ("empty", "there is nothing to ingest in")):
        failed = cli("ingest", path)
        assert failed.returncode == 2
        assert failed.stderr.startswith(f"Error: {said}")
        assert len(failed.stderr.splitlines()) == 1


def assert_none(ladder: pokeladder.Ladder) -> None:
    assert data.counts(ladder) == (0, 0, 0, 0)
    folder = ladder.store.folder
    files = {path for name in ("battles", "trajectories", "documents", "runs") for path in (folder / name).rglob("*.*")}
    assert {path.name.removesuffix(".parquet") for path in files} == {"none"}
    assert list((folder / "unfinished").iterdir()) == []


def test_kills_at_any_time(command_line: list[str], cli: Cli, ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    steps = data.many(tmp_path / "in", 150)
    started = time.monotonic()
    assert cli("--store", "other", "ingest", "in").returncode == 0
    seconds = time.monotonic() - started
    moments = random.Random(5)
    for _ in range(4):
        process = subprocess.Popen([*command_line, "ingest", "in"], cwd=tmp_path, stdout=subprocess.DEVNULL)
        time.sleep(moments.uniform(0.5, 1) * seconds)
        process.kill()
        process.wait()
        assert data.counts(ladder) in ((0, 0, 0, 0), (150, 300, 300, steps))
    assert cli("ingest", "in").returncode == 0
    assert data.counts(ladder) == (150, 300, 300, steps)


@pytest.mark.parametrize("renames", [1, slowly(2), slowly(3), 4])
def test_a_kill_between_two_files(ladder: pokeladder.Ladder, tmp_path: Path, renames: int) -> None:
    steps = data.many(tmp_path / "in", 3)
    assert data.signalled(signal.SIGKILL, renames, tmp_path, "ingest", "in") == -signal.SIGKILL
    assert data.counts(ladder) == (0, 0, 0, 0)
    assert ladder.ingest(tmp_path / "in").trajectories == 6
    assert data.counts(ladder) == (3, 6, 6, steps)


@pytest.mark.parametrize("renames", [1, slowly(2), slowly(3), 4])
def test_ctrl_c_between_two_files(ladder: pokeladder.Ladder, tmp_path: Path, renames: int) -> None:
    data.many(tmp_path / "in", 3)
    assert data.signalled(signal.SIGINT, renames, tmp_path, "ingest", "in") == 130
    assert_none(ladder)


def test_ctrl_c_while_reading(command_line: list[str], ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    packed = OF_A[1].read_bytes()
    for number in range(1500):
        (tmp_path / "in" / f"{file_name('ann', 'bob', number=number)}.json.lz4").write_bytes(packed)
    process = subprocess.Popen([*command_line, "ingest", "in"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list((ladder.store.folder / "unfinished").glob("documents.*.tmp")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert said.splitlines()[-1].startswith("Interrupted: nothing was added")
    assert_none(ladder)


def test_two_at_once(command_line: list[str], ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    steps = data.many(tmp_path / "in", 60)
    running = [subprocess.Popen([*command_line, "ingest", "in"], cwd=tmp_path) for _ in range(2)]
    statuses = {process.wait() for process in running}
    assert 0 in statuses
    assert statuses <= {0, 1}
    assert data.counts(ladder) == (60, 120, 120, steps)


def test_broken_files_alone_leave_nothing(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    write(tmp_path / "in", file_name("ann", "bob"), b'{"states": [], "actions": []}')
    added = ladder.ingest(tmp_path / "in")
    assert (added.run_id, len(added.broken)) == (None, 1)
    assert_none(ladder)


def test_several_processes_read_the_same(
    ladder: pokeladder.Ladder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = data.many(tmp_path / "in", 30)
    write(tmp_path / "in", file_name("ann", "bob", number=999), b"{")
    monkeypatch.setattr(pokeladder.exchange.ingest, "FILES_A_TASK", 7)
    seen: list[int] = []
    added = ladder.ingest(tmp_path / "in", watch=lambda progress: seen.append(progress.done))
    assert (added.battles, added.trajectories, len(added.broken), seen[-1]) == (30, 60, 1, 61)
    assert data.counts(ladder) == (30, 60, 60, steps)


def test_a_reading_process_that_dies(
    ladder: pokeladder.Ladder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.many(tmp_path / "in", 20)
    monkeypatch.setattr(pokeladder.exchange.ingest, "FILES_A_TASK", 7)
    monkeypatch.setattr(pokeladder.system.processes, "MAIN", "import sys; sys.exit(3)  # {}")
    with pytest.raises(StoreError, match=r"died \(status 3\)"):
        ladder.ingest(tmp_path / "in")
    assert_none(ladder)
