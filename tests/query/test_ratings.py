from __future__ import annotations

import itertools
import math
import random
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import pokeladder
from metamon_data import write_log
from pokeladder.query import views
from pokeladder.store.files import Store
from running import DATA
from stores import Game, asked, connect, fill, played, rows

Cli = Callable[..., subprocess.CompletedProcess[str]]
# Elo points of one unit of natural logarithm.
SCALE = 400 / math.log(10)
Z = 1.959963984540054


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """Everything that is made of ``rated_battles``, which is a table here; the folds are Python's."""
    with views.connect(Store(tmp_path_factory.mktemp("empty")).files) as connection:
        connection.execute("CREATE TABLE stored AS FROM rated_battles")
        connection.execute("CREATE OR REPLACE VIEW rated_battles AS FROM stored")
        yield connection


def load(connection: duckdb.DuckDBPyConnection, games: Sequence[Game], battle_format: str = "gen1ou") -> None:
    """Makes these games all that was played."""
    connection.execute("DELETE FROM stored")
    add(connection, games, battle_format)


def add(connection: duckdb.DuckDBPyConnection, games: Sequence[Game], battle_format: str) -> None:
    columns = {
        "p1": [game[0] for game in games],
        "p2": [game[1] for game in games],
        "score": [float(game[2]) for game in games],
        "pair_id": [game[3] for game in games],
    }
    connection.execute(
        """
        INSERT INTO stored BY NAME
        SELECT
            * EXCLUDE (seq), $format AS format, lpad(seq::VARCHAR, 9, '0') AS battle_id,
            make_timestamp(seq) AS finished_at
        FROM (
            SELECT
                unnest($p1::VARCHAR[]) AS p1, unnest($p2::VARCHAR[]) AS p2, unnest($score::DOUBLE[]) AS score,
                unnest($pair_id::VARCHAR[]) AS pair_id, unnest(range(len($p1::VARCHAR[]))) AS seq
        )
        """,
        {**columns, "format": battle_format},
    )


def exact(games: Sequence[Game], prior: float = 0.0) -> tuple[dict[str, float], dict[str, float]]:
    """Ratings and standard errors by another road: step halving, pseudo-inverse, sums over pairs."""
    agents = sorted({agent for game in games for agent in game[:2]})
    place = {agent: number for number, agent in enumerate(agents)}
    count = np.zeros((len(agents), len(agents)))
    score = np.zeros(len(agents))
    for p1, p2, result, _ in games:
        a, b = place[p1], place[p2]
        count[a, b] += 1
        count[b, a] += 1
        score[a] += result
        score[b] += 1 - result

    def chances(strengths: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(strengths[None] - strengths[:, None]))

    def loss(strengths: np.ndarray) -> float:
        expected = np.log(chances(strengths))
        against = np.logaddexp(0, strengths) - strengths / 2
        taken = np.zeros_like(count)
        for p1, p2, result, _ in games:
            taken[place[p1], place[p2]] += result
            taken[place[p2], place[p1]] += 1 - result
        return float(-(taken * expected).sum() + prior * against.sum())

    strengths = np.zeros(len(agents))
    own = np.zeros(len(agents))
    for _ in range(200):
        p = chances(strengths)
        own = 1 / (1 + np.exp(-strengths))
        gradient = score - (count * p).sum(1) + prior * (0.5 - own)
        weights = count * p * (1 - p)
        hessian = np.diag(weights.sum(1) + prior * own * (1 - own)) - weights
        step = np.linalg.pinv(hessian, rcond=1e-12) @ gradient
        while loss(strengths + step) > loss(strengths) + 1e-12 and np.abs(step).max() > 1e-13:
            step = step / 2
        strengths = strengths + step
        if np.abs(step).max() < 1e-13:
            break
    p = chances(strengths)
    residuals: dict[object, np.ndarray] = defaultdict(lambda: np.zeros(len(agents)))
    for number, (p1, p2, result, pair) in enumerate(games):
        a, b = place[p1], place[p2]
        key = (min(p1, p2), max(p1, p2), pair) if pair is not None else number
        residuals[key][a] += result - p[a, b]
        residuals[key][b] -= result - p[a, b]
    matrix = np.array(list(residuals.values()))
    inverse = np.linalg.pinv(hessian, rcond=1e-12)
    centre = np.eye(len(agents)) - 1 / len(agents)
    spread = matrix.T @ matrix * len(matrix) / max(len(matrix) - len(agents) + 1, 1)
    if prior:
        spread = spread + np.diag(prior * own * (1 - own))
    covariance = centre @ inverse @ spread @ inverse @ centre
    ratings = 1500 + SCALE * (strengths - strengths.mean())
    errors = SCALE * np.sqrt(np.diag(covariance))
    return dict(zip(agents, ratings, strict=True)), dict(zip(agents, errors, strict=True))


def read_games(name: str) -> list[Game]:
    scores = {"left": 1.0, "tie": 0.5, "right": 0.0}
    lines = (DATA / f"{name}.csv").read_text().splitlines()[1:]
    return [(left, right, scores[winner], None) for left, right, winner in (line.split(",") for line in lines)]


@st.composite
def tournaments(draw: st.DrawFn) -> list[Game]:
    """Games among a few agents, some of them in pairs; all agents have taken points from each other."""
    seed = draw(st.randoms(use_true_random=False))
    agents = [f"agent {number}" for number in range(draw(st.integers(2, 7)))]
    games: list[Game] = []
    for first, second in itertools.pairwise([*agents, agents[0]]):
        games += [(first, second, 1.0, None), (second, first, 0.5, None)]
    for number in range(draw(st.integers(0, 60))):
        first, second = seed.sample(agents, 2)
        pair = draw(st.booleans())
        games.append((first, second, seed.choice([0.0, 0.5, 1.0, 1.0]), f"pair{number}" if pair else None))
        if pair and seed.random() < 0.9:
            games.append((second, first, seed.choice([0.0, 0.5, 1.0]), f"pair{number}"))
    return games


@settings(max_examples=40, deadline=None)
@given(games=tournaments(), prior=st.sampled_from([0, 0, 0.5, 3]))
def test_ratings_are_those_of_an_exact_solver(
    plain: duckdb.DuckDBPyConnection, games: list[Game], prior: float
) -> None:
    load(plain, games)
    found = rows(plain, f"FROM ratings_with(prior := {prior})")
    ratings, errors = exact(games, prior)
    assert {row["agent"]: row["rating"] for row in found} == pytest.approx(ratings, abs=1e-6)
    assert {row["agent"]: row["se"] for row in found} == pytest.approx(errors, abs=1e-6)
    for row in found:
        assert row["low"] == pytest.approx(row["rating"] - Z * row["se"])
        assert row["high"] == pytest.approx(row["rating"] + Z * row["se"])
        assert row["rank"] == 1 + sum(other["rating"] > row["rating"] + 1e-6 for other in found)
        assert row["rank_low"] == 1 + sum(other["low"] > row["high"] for other in found)
        assert row["rank_high"] == len(found) - sum(other["high"] < row["low"] for other in found)
        assert row["games"] == sum(row["agent"] in game[:2] for game in games)
        assert (row["component"], row["status"]) == (1, "rated")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("food", {"Tacos": 1659.8020, "Sushi": 1516.7396, "Burger": 1472.7674, "Pasta": 1447.7822, "Pizza": 1402.9088}),
        ("simple", {"4": 1636.2407, "3": 1629.8687, "2": 1466.6896, "1": 1465.9824, "0": 1301.2185}),
    ],
)
def test_reference_ratings(plain: duckdb.DuckDBPyConnection, name: str, wanted: dict[str, float]) -> None:
    load(plain, read_games(name))
    assert {row["agent"]: round(row["rating"], 4) for row in rows(plain, "FROM ratings")} == wanted


@settings(max_examples=8, deadline=None)
@given(games=tournaments(), seed=st.randoms(use_true_random=False))
def test_neither_order_nor_sides_change_ratings(
    plain: duckdb.DuckDBPyConnection, games: list[Game], seed: random.Random
) -> None:
    load(plain, games)
    before = rows(plain, "FROM ratings")
    differences, bias = rows(plain, "FROM matchups"), rows(plain, "FROM side_bias")
    shuffled = seed.sample(games, len(games))
    load(plain, shuffled)
    assert rows(plain, "FROM ratings") == before
    assert rows(plain, "FROM matchups") == differences
    load(plain, [(p2, p1, 1 - score, pair) for p1, p2, score, pair in games])
    assert rows(plain, "FROM ratings") == before
    assert rows(plain, "FROM matchups") == differences
    (was,), (mirrored,) = bias, rows(plain, "FROM side_bias")
    assert (mirrored["wins"], mirrored["losses"]) == (was["losses"], was["wins"])
    assert mirrored["win_rate"] == pytest.approx(1 - was["win_rate"])
    assert mirrored["win_rate_low"] == pytest.approx(1 - was["win_rate_high"])


def test_a_lopsided_ladder_converges(plain: duckdb.DuckDBPyConnection) -> None:
    games: list[Game] = []
    for first, second in itertools.pairwise("abcdefgh"):
        games += [(first, second, 1.0, None)] * 999 + [(first, second, 0.0, None)]
    load(plain, games)
    found = [row["rating"] for row in rows(plain, "FROM ratings ORDER BY agent")]
    assert np.diff(found) == pytest.approx([-400 * math.log10(999)] * 7, abs=1e-6)


def statuses(connection: duckdb.DuckDBPyConnection, games: Iterable[tuple[str, float, str]]) -> dict[str, Any]:
    load(connection, [(first, second, score, None) for first, score, second in games])
    found = rows(connection, "FROM ratings")
    assert all((row["rating"] is None) == (row["rank"] is None) == (row["low"] is None) for row in found)
    return {
        row["agent"]: row["status"]
        if row["rating"] is None
        else (row["status"], row["component"], round(row["rating"]))
        for row in found
    }


def test_agents_without_a_finite_rating_are_told_apart(plain: duckdb.DuckDBPyConnection) -> None:
    even = [("a", 1, "b"), ("b", 1, "a")]
    rated = {"a": ("rated", 1, 1500), "b": ("rated", 1, 1500)}
    assert statuses(plain, []) == {}
    assert statuses(plain, [("a", 1, "b")]) == {"a": "unbeaten", "b": "winless"}
    assert statuses(plain, [("a", 0.5, "b")]) == rated
    assert statuses(plain, [*even, ("c", 1, "a")]) == {**rated, "c": "unbeaten"}
    assert statuses(plain, [*even, ("c", 0, "a")]) == {**rated, "c": "winless"}
    assert statuses(plain, [*even, ("c", 1, "a"), ("d", 1, "c"), ("d", 1, "e")]) == {
        **rated,
        "c": "between",
        "d": "unbeaten",
        "e": "winless",
    }
    apart = [("x", 1, "y"), ("y", 1, "z"), ("z", 1, "x")]
    assert statuses(plain, [*even, *apart]) == {
        **dict.fromkeys("ab", ("apart", 2, 1500)),
        **dict.fromkeys("xyz", ("rated", 1, 1500)),
    }
    assert statuses(plain, [*even, *apart, ("a", 1, "x")])["a"] == ("unbeaten", 2, 1500)


def test_a_prior_makes_all_ratings_finite(plain: duckdb.DuckDBPyConnection) -> None:
    load(plain, [("a", "b", 1, None), ("c", "d", 1, None)])
    found = {row["agent"]: row for row in rows(plain, "FROM ratings_with(prior := 1)")}
    assert {row["status"] for row in found.values()} == {"rated"}
    assert found["a"]["rating"] == pytest.approx(found["c"]["rating"])
    assert found["a"]["rating"] + found["b"]["rating"] == pytest.approx(3000)
    # Won one and tied one against 1500: the derivative of the likelihood is zero.
    gap = (found["a"]["rating"] - 1500) / SCALE
    assert 1 / (1 + math.exp(2 * gap)) + 0.5 - 1 / (1 + math.exp(-gap)) == pytest.approx(0)


def test_formats_are_rated_apart(plain: duckdb.DuckDBPyConnection) -> None:
    load(plain, [("a", "b", 1, None), ("a", "b", 0, None), ("a", "b", 1, None)])
    alone = rows(plain, "FROM ratings")
    add(plain, [("a", "b", 0, None), ("b", "a", 0.5, None)], "gen2ou")
    assert rows(plain, "FROM ratings WHERE format = 'gen1ou'") == alone
    assert [row["agent"] for row in rows(plain, "FROM ratings WHERE format = 'gen2ou'")] == ["b", "a"]


def match(wins: int, ties: int, losses: int) -> list[Game]:
    return [("a", "b", score, None) for score, count in ((1, wins), (0.5, ties), (0, losses)) for _ in range(count)]


def mirrored(counts: Sequence[int]) -> list[Game]:
    """Pairs in which a scores 0, a half, 1, 1.5 and 2 of 2."""
    scores = [(0, 0), (0, 0.5), (0.5, 0.5), (1, 0.5), (1, 1)]
    games: list[Game] = []
    for (first, second), count in zip(scores, counts, strict=True):
        for _ in range(count):
            pair = f"pair{len(games)}"
            games += [("a", "b", first, pair), ("b", "a", 1 - second, pair)]
    return games


def test_reference_differences(plain: duckdb.DuckDBPyConnection) -> None:
    load(plain, match(136, 111, 96))
    one, two = rows(plain, "FROM matchups")
    assert (round(one["elo_difference"], 2), round(one["elo_margin"], 2), round(100 * one["los"], 2)) == (
        40.70,
        30.43,
        99.60,
    )
    assert (one["games"], one["pairs"], one["agent"], one["opponent"]) == (343, 0, "a", "b")
    assert (round(two["elo_difference"], 2), round(two["elo_margin"], 2), round(100 * two["los"], 2)) == (
        -40.70,
        30.43,
        0.40,
    )
    load(plain, mirrored([34, 54, 63, 64, 75]))
    one, two = rows(plain, "FROM matchups")
    assert (round(one["elo_difference"], 2), round(one["elo_margin"], 2)) == (55.58, 27.65)
    assert (one["games"], one["pairs"]) == (580, 290)
    assert two["elo_difference"] == pytest.approx(-one["elo_difference"])


@settings(max_examples=25, deadline=None)
@given(counts=st.lists(st.integers(0, 30), min_size=5, max_size=5).filter(any), singles=st.integers(0, 9))
@example(counts=[0, 0, 0, 1, 0], singles=0)
@example(counts=[0, 3, 0, 0, 0], singles=0)
@example(counts=[0, 0, 2, 0, 0], singles=0)
@example(counts=[0, 0, 0, 0, 2], singles=3)
def test_differences_by_the_formulas(plain: duckdb.DuckDBPyConnection, counts: list[int], singles: int) -> None:
    games = mirrored(counts) + match(singles, 0, 0)
    load(plain, games)
    found = rows(plain, "FROM matchups_with(elo0 := 5, elo1 := 40, alpha := 0.05, beta := 0.1)")[0]
    scores = defaultdict(list)
    for number, (p1, _, score, pair) in enumerate(games):
        scores[pair or number].append(score if p1 == "a" else 1 - score)
    taken = np.array([sum(values) for values in scores.values()])
    sizes = np.array([len(values) for values in scores.values()])
    mean = taken.sum() / sizes.sum()
    assert found["win_rate"] == pytest.approx(mean)
    error = math.sqrt(((taken - mean * sizes) ** 2).sum()) / sizes.sum()
    s0, s1 = (1 / (1 + 10 ** (-elo / 400)) for elo in (5, 40))
    if error < 1e-9:
        assert found["los"] == pytest.approx(
            0.5 if mean == 0.5 else 1 - 0.5 ** (len(taken) + 1) if mean > 0.5 else 0.5 ** (len(taken) + 1)
        )
        llr = len(taken) * (mean * math.log(s1 / s0) + (1 - mean) * math.log((1 - s1) / (1 - s0)))
    else:
        assert found["los"] == pytest.approx(NormalDist().cdf((mean - 0.5) / error), abs=1e-12)
        llr = (s1 - s0) * (2 * mean - s0 - s1) / (2 * error**2)
    assert found["llr"] == pytest.approx(llr)
    state = "H1" if llr >= math.log(0.9 / 0.05) else "H0" if llr <= math.log(0.1 / 0.95) else "continue"
    assert found["sprt"] == state

    def elo(score: float) -> float | None:
        return -400 * math.log10(1 / score - 1) if 0 < score < 1 else None

    assert found["elo_difference"] == pytest.approx(elo(mean), abs=1e-9)
    low, high = elo(mean - Z * error), elo(mean + Z * error)
    assert found["elo_margin"] == (None if low is None or high is None else pytest.approx((high - low) / 2, abs=1e-9))


def test_normal_cdf_and_win_chance(plain: duckdb.DuckDBPyConnection) -> None:
    found = plain.sql("SELECT x, normal_cdf(x) FROM (SELECT unnest(range(-1000, 1001)) / 100 AS x)").fetchall()
    assert all(chance == pytest.approx(NormalDist().cdf(x), abs=1e-13) for x, chance in found)
    chances = plain.sql("SELECT win_chance(100), win_chance(200), win_chance(400), win_chance(-100)").fetchall()[0]
    assert [round(chance, 2) for chance in chances] == [0.64, 0.76, 0.91, 0.36]


def glicko_by_the_book(games: Sequence[Game]) -> dict[str, tuple[float, float]]:
    q = math.log(10) / 400
    found = {agent: (1500.0, 130.0) for game in games for agent in game[:2]}
    for p1, p2, score, _ in games:
        now = {}
        for own, other, result in ((p1, p2, score), (p2, p1, 1 - score)):
            (rating, deviation), (their_rating, their_deviation) = found[own], found[other]
            g = 1 / math.sqrt(1 + 3 * q**2 * their_deviation**2 / math.pi**2)
            expected = 1 / (1 + 10 ** (-g * (rating - their_rating) / 400))
            d2 = 1 / (q**2 * g**2 * expected * (1 - expected))
            after = rating + q / (1 / deviation**2 + 1 / d2) * g * (result - expected)
            now[own] = (after, min(max(math.sqrt(1 / (1 / deviation**2 + 1 / d2)), 25), 130))
        found.update(now)
    return found


@settings(max_examples=8, deadline=None)
@given(games=tournaments())
def test_glicko_by_the_book(plain: duckdb.DuckDBPyConnection, games: list[Game]) -> None:
    load(plain, games)
    found = rows(plain, "FROM glicko")
    wanted = glicko_by_the_book(games)
    assert {row["agent"]: (row["glicko"], row["deviation"]) for row in found} == {
        agent: pytest.approx(values, abs=1e-9) for agent, values in wanted.items()
    }
    assert [row["rank"] for row in found] == [
        1 + sum(other["glicko"] > row["glicko"] + 1e-6 for other in found) for row in found
    ]


def test_reference_glicko(plain: duckdb.DuckDBPyConnection) -> None:
    load(plain, [("a", "b", 1, None)])
    first = rows(plain, "FROM glicko")[0]
    assert (round(first["glicko"], 4), round(first["deviation"], 4), round(first["gxe"], 4)) == (
        1540.1606,
        122.8583,
        55.0093,
    )
    games = "[{'rating': 1400, 'deviation': 30, 'score': 1}, {'rating': 1550, 'deviation': 100, 'score': 0}, "
    games += "{'rating': 1700, 'deviation': 300, 'score': 0}]"
    (((after),),) = plain.sql(f"SELECT glicko_update(1500, 200, {games})").fetchall()
    assert {name: round(value, 4) for name, value in after.items()} == {"rating": 1464.1065, "deviation": 151.3989}


def test_cycles_and_side_bias(plain: duckdb.DuckDBPyConnection) -> None:
    seed = random.Random(4)
    agents = "abcdef"
    games: list[Game] = []
    for first, second in itertools.permutations(agents, 2):
        games += [(first, second, seed.choice([0, 0, 0.5, 1, 1]), None) for _ in range(5)]
    load(plain, games)
    taken: dict[tuple[str, str], list[float]] = defaultdict(list)
    for p1, p2, score, _ in games:
        taken[p1, p2].append(score)
        taken[p2, p1].append(1 - score)
    beats = {pair for pair, scores in taken.items() if np.mean(scores) > 0.5}
    wanted = {
        (one, two, three)
        for one, two, three in itertools.permutations(agents, 3)
        if one < min(two, three) and {(one, two), (two, three), (three, one)} <= beats
    }
    found = rows(plain, "FROM cycles")
    assert {(row["first"], row["second"], row["third"]) for row in found} == wanted
    assert len(wanted) == len(found) > 1
    los = {(row["agent"], row["opponent"]): row["los"] for row in rows(plain, "FROM matchups")}
    for row in found:
        one, two, three = row["first"], row["second"], row["third"]
        assert row["los"] == min(los[one, two], los[two, three], los[three, one])
    (bias,) = rows(plain, "FROM side_bias")
    assert bias["win_rate"] == pytest.approx(np.mean([game[2] for game in games]))
    assert bias["games"] == bias["wins"] + bias["losses"] + bias["ties"] == len(games)


@pytest.fixture
def ladder(tmp_path: Path) -> pokeladder.Ladder:
    """Twenty battles, four of them forfeited."""
    games = [
        ("a", "b", score, f"p{number // 2}") for number, score in enumerate([1, 0, 1, 1, 0.5, 0, 1, 0, 1, 0.5] * 2)
    ]
    battles = [replace(one, end_reason="forfeit" if one.game % 5 == 3 else "normal") for one in played(games)]
    fill(tmp_path / "ladder", battles)
    return pokeladder.open(tmp_path / "ladder")


def test_what_leaving_battles_out_shifts(ladder: pokeladder.Ladder) -> None:
    before = {row["agent"]: row["rating"] for row in asked(ladder.ratings())}
    normal = {row["agent"]: row["rating"] for row in asked(ladder.ratings(where="end_reason = 'normal'"))}
    found = asked(ladder.ratings(excluding="end_reason <> 'normal'"))
    assert {row["agent"]: row["rating"] for row in found} == pytest.approx(normal)
    assert {row["agent"]: row["shift"] for row in found} == pytest.approx(
        {agent: normal[agent] - before[agent] for agent in before}
    )
    assert sum(row["games"] for row in found) == 2 * 16
    # A condition that is unknown for a battle does not leave it out.
    assert asked(ladder.ratings(excluding="p1_team = NULL"))[0]["games"] == 20
    both = asked(ladder.ratings(excluding="end_reason <> 'normal'", where="turns > 100"))
    assert both == []


def test_other_clients_see_the_same(ladder: pokeladder.Ladder) -> None:
    with duckdb.connect(ladder.store.database, read_only=True) as other:
        for view in ("ratings", "matchups", "glicko", "cycles", "side_bias", "internal.matchup_totals"):
            wanted = rows(connect(ladder.store), f"FROM {view}")
            assert rows(other, f"FROM {view}") == [pytest.approx(row, abs=1e-9) for row in wanted]


def test_both_points_of_view_are_one_battle(tmp_path: Path) -> None:
    """Logs of both players say no more than the one's: they are of the same battles."""
    results = ["WIN", "LOSS", "WIN", "WIN"]
    other = {"WIN": "LOSS", "LOSS": "WIN"}
    ann = [("bob", result, 20 + number, f"{number:010d}") for number, result in enumerate(results)]
    bob = [("ann", other[result], 20 + number, f"{9 - number:010d}") for number, result in enumerate(results)]
    write_log(tmp_path / "logs", "ann", ann)
    ladder = pokeladder.open(tmp_path / "ladder")
    ladder.ingest(tmp_path / "logs")
    before = asked(ladder.ratings()), asked(ladder.glicko()), asked(ladder.matchups())
    write_log(tmp_path / "logs", "bob", bob)
    assert ladder.ingest(tmp_path / "logs").battles == 0
    assert (asked(ladder.ratings()), asked(ladder.glicko()), asked(ladder.matchups())) == before


COVERAGE = (
    # agents, battles of each two, tournaments, spread of the ratings, luck of a pair (natural logarithm of odds)
    (3, 50, 600, 300, 0.0),
    (3, 50, 600, 300, 1.5),
    (5, 200, 300, 800, 1.0),
    (10, 50, 150, 300, 1.0),
)


@pytest.mark.parametrize(("agents", "battles", "tournaments", "spread", "luck"), COVERAGE)
def test_intervals_hold_the_truth_as_often_as_they_say(
    tmp_path: Path, agents: int, battles: int, tournaments: int, spread: float, luck: float
) -> None:
    connection = views.connect(Store(tmp_path).files)
    share, number = coverage(connection, agents, battles, tournaments, spread, luck, seed=1)
    assert number == agents * tournaments
    # Three standard errors of the simulation beyond what is promised.
    slack = 3 * math.sqrt(0.95 * 0.05 / tournaments)
    assert 0.93 - slack < share < 0.97 + slack


@pytest.mark.slow
@pytest.mark.parametrize("luck", [0.0, 1.5])
@pytest.mark.parametrize("spread", [300, 800])
@pytest.mark.parametrize(("agents", "tournaments"), [(3, 2000), (5, 1200), (10, 600), (20, 300)])
@pytest.mark.parametrize("battles", [50, 200, 2000])
def test_coverage(tmp_path: Path, agents: int, battles: int, tournaments: int, spread: float, luck: float) -> None:
    """With ``-rP`` it prints the table: how many of the intervals hold the truth."""
    connection = views.connect(Store(tmp_path).files)
    share, number = coverage(connection, agents, battles, tournaments, spread, luck, seed=2)
    print(  # noqa: T201
        f"{agents:>2} agents, {battles:>4} battles, spread {spread}, luck {luck}: {share:.2%} of {number}"
    )
    # Now and then an agent has won all, or lost all.
    assert number > 0.99 * agents * tournaments
    assert 0.93 <= share <= 0.97


def coverage(
    connection: duckdb.DuckDBPyConnection,
    agents: int,
    battles: int,
    tournaments: int,
    spread: float,
    luck: float,
    seed: int,
) -> tuple[float, int]:
    """How often the intervals of simulated tournaments, a format each, hold the true ratings, and of how many ratings.

    The mirrored battles of a pair share their luck, which favours one agent in the first and the other in the second.
    """
    generator = np.random.default_rng(seed)
    strengths = np.linspace(-0.5, 0.5, agents) * spread / SCALE
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    totals: dict[str, list[Any]] = defaultdict(list)
    true_games: list[tuple[int, int, float]] = []
    for first, second in itertools.combinations(range(agents), 2):
        gap = strengths[first] - strengths[second]
        favour = generator.normal(0, luck, (tournaments, battles // 2))
        chances = 1 / (1 + np.exp(-gap - favour)), 1 / (1 + np.exp(-gap + favour))
        scores = sum((generator.random(favour.shape) < chance).astype(float) for chance in chances)
        true_games.append((first, second, float((weights / (1 + np.exp(-gap - nodes * luck))).sum() / weights.sum())))
        for number, pairs in enumerate(scores):
            totals["format"].append(f"{number:04d}")
            totals["agent"].append(f"{first:02d}")
            totals["opponent"].append(f"{second:02d}")
            totals["games"].append(2 * len(pairs))
            totals["score"].append(pairs.sum())
            totals["observations"].append(len(pairs))
            totals["pairs"].append(len(pairs))
            totals["square_score"].append((pairs**2).sum())
            totals["cross_score"].append(2 * pairs.sum())
            totals["square_games"].append(4.0 * len(pairs))
    # What the ratings would be after endless battles: of every two agents one, weighted by the chance of each result.
    truth = exact_of_chances(agents, true_games)
    listed = ", ".join(f"unnest(${name}) AS {name}" for name in totals)
    connection.execute(f"CREATE TABLE simulated AS SELECT {listed}", dict(totals))
    connection.execute(
        "CREATE OR REPLACE VIEW internal.matchup_totals AS FROM simulated UNION ALL BY NAME"
        " SELECT * REPLACE (opponent AS agent, agent AS opponent, games - score AS score,"
        " square_games - 2 * cross_score + square_score AS square_score, square_games - cross_score AS cross_score)"
        " FROM simulated"
    )
    found = connection.sql("SELECT agent, low, high FROM ratings_with() WHERE status = 'rated'").fetchall()
    held = [low <= truth[int(agent)] <= high for agent, low, high in found]
    return sum(held) / len(held), len(held)


def exact_of_chances(agents: int, chances: Sequence[tuple[int, int, float]]) -> np.ndarray:
    strengths = np.zeros(agents)
    for _ in range(200):
        gradient, hessian = np.zeros(agents), np.zeros((agents, agents))
        for first, second, chance in chances:
            expected = 1 / (1 + math.exp(strengths[second] - strengths[first]))
            sign = np.zeros(agents)
            sign[first], sign[second] = 1, -1
            gradient += sign * (chance - expected)
            hessian += np.outer(sign, sign) * expected * (1 - expected)
        strengths += np.linalg.pinv(hessian) @ gradient
    return 1500 + SCALE * (strengths - strengths.mean())


def store_of(folder: Path, games: Sequence[Game]) -> Path:
    fill(folder, played(games))
    return folder


def test_the_ratings_command(cli: Cli, tmp_path: Path) -> None:
    store = str(store_of(tmp_path / "store", match(136, 111, 96)))
    shown = cli("--store", store, "ratings")
    assert shown.stdout.splitlines() == [
        "rank  agent  rating  95% interval  ranks  games",
        "   1  a      1520.4  1505 to 1536      1    343",
        "   2  b      1479.6  1464 to 1495      2    343",
    ]
    assert (shown.stderr, shown.returncode) == ("", 0)
    shown = cli("--store", store, "ratings", "--excluding", "winner = 'p2'")
    assert shown.stdout.splitlines()[0].split() == [
        "rank",
        "agent",
        "rating",
        "95%",
        "interval",
        "ranks",
        "games",
        "shift",
    ]
    shown = cli("--store", store, "ratings", "--where", "winner = 'p1'")
    assert shown.stdout.splitlines() == [
        "rank  agent  rating  95% interval  ranks  games  component  status  ",
        "      a                                     136             unbeaten",
        "      b                                     136             winless ",
    ]
    assert shown.stderr.startswith("Agents are comparable if they have taken points from each other")
    shown = cli("--store", store, "ratings", "--glicko")
    assert shown.stdout.splitlines()[0].split() == ["rank", "agent", "glicko", "deviation", "GXE", "games"]
    shown = cli("--store", store, "ratings", "--format", "csv")
    assert shown.stdout.splitlines()[0] == (
        "format,agent,rating,se,low,high,rank,rank_low,rank_high,games,component,status"
    )
    shown = cli("--store", store, "matchups", "--sprt", "0", "20")
    assert shown.stdout.splitlines() == [
        "agent  opponent  games  W–L–T       win rate    Elo     ±    LOS    LLR  SPRT    ",  # noqa: RUF001
        "a      b           343  136–96–111     55.8%  +40.7  30.4  99.6%   2.61  continue",  # noqa: RUF001
        "b      a           343  96–136–111     44.2%  -40.7  30.4   0.4%  -4.33  H0      ",  # noqa: RUF001
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ratings", "--excluding", "turns"), "Error: this is not a condition, but a value of type INTEGER"),
        (("ratings", "--excluding", "turns >"), "Error: Parser Error"),
        (("ratings", "--prior", "-1"), "Invalid value for '--prior'"),
        (("ratings", "--glicko", "--prior", "1"), "Error: --glicko cannot be combined with --prior or --excluding"),
        (("matchups", "--sprt", "20", "0"), "Error: --sprt needs two differences, the smaller one first"),
    ],
)
def test_what_ratings_refuse(cli: Cli, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    failed = cli("--store", str(store_of(tmp_path / "store", match(2, 1, 1))), *arguments)
    assert failed.returncode == (1 if "--excluding" in arguments else 2)
    assert said in failed.stderr
    assert failed.stdout == ""


def test_no_battles(cli: Cli, tmp_path: Path) -> None:
    store = str(store_of(tmp_path / "store", []))
    for arguments in (("ratings",), ("ratings", "--glicko"), ("matchups",)):
        shown = cli("--store", store, *arguments)
        assert (shown.returncode, shown.stderr) == (0, "There are no rated battles yet.\n")
