from __future__ import annotations

import csv
import subprocess
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pokeladder.query import client_database, folds, statements, views
from pokeladder.store.files import Store
from pokeladder.store.writer import BatchWriter
from running import DATA
from stores import battle, connect, fill, rows

FOLD = (
    "SELECT elo_fold(games, agents, $k, $initial) "
    "FROM (SELECT unnest($games::STRUCT(p1 BIGINT, p2 BIGINT, score DOUBLE)[][]) AS games, unnest($agents) AS agents)"
)
Game = tuple[int, int, float]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[duckdb.DuckDBPyConnection]]:
    """Connections in which ``elo_fold`` is the Python function, and the macro."""
    store = Store(tmp_path_factory.mktemp("empty"))
    client_database.write_database(store.database, store.files)
    with duckdb.connect(store.database, read_only=True) as plain:
        yield [connect(store), plain]


def folded(
    connection: duckdb.DuckDBPyConnection, ladders: list[list[Game]], k: float, initial: float
) -> list[list[float]]:
    """The four ratings of every game, a list for each ladder."""
    parameters = {
        "games": [[{"p1": p1, "p2": p2, "score": score} for p1, p2, score in games] for games in ladders],
        "agents": [max((max(game[:2]) for game in games), default=0) for games in ladders],
        "k": k,
        "initial": initial,
    }
    found = statements.run_sql(connection, FOLD, parameters).fetchall()
    return [[value for game in games for value in game.values()] for (games,) in found]


def by_the_book(games: list[Game], k: float, initial: float) -> list[float]:
    ratings: dict[int, float] = {}
    found = []
    for p1, p2, score in games:
        first, second = ratings.get(p1, initial), ratings.get(p2, initial)
        expected = 1 / (1 + 10 ** ((second - first) / 400))
        ratings[p1] = first + k * (score - expected)
        ratings[p2] = second + k * ((1 - score) - (1 - expected))
        found += [first, ratings[p1], second, ratings[p2]]
    return found


@st.composite
def ladders(draw: st.DrawFn) -> list[list[Game]]:
    found = []
    for _ in range(draw(st.integers(1, 4))):
        agents = draw(st.integers(2, 40))
        seed, length = draw(st.randoms(use_true_random=False)), draw(st.integers(0, 600))
        games = []
        for _ in range(length):
            p1, p2 = seed.sample(range(1, agents + 1), 2)
            games.append((p1, p2, seed.choice([0.0, 0.5, 1.0])))
        found.append(games)
    return found


@settings(max_examples=12, deadline=None)
@given(ladders=ladders(), k=st.sampled_from([0, 16, 32, 99.5]), initial=st.sampled_from([0, 1000, 1500.25]))
def test_both_folds_agree_with_the_formula(
    both: list[duckdb.DuckDBPyConnection], ladders: list[list[Game]], k: float, initial: float
) -> None:
    wanted = [pytest.approx(by_the_book(games, k, initial), abs=1e-9) for games in ladders]
    for connection in both:
        assert folded(connection, ladders, k, initial) == wanted


@pytest.mark.parametrize("length", [0, 1, 255, 256, 257, 512, 513])
def test_blocks_meet(both: list[duckdb.DuckDBPyConnection], length: int) -> None:
    games = [(1 + number % 3, 4 + number % 2, (number % 5 % 3) / 2) for number in range(length)]
    for connection in both:
        assert folded(connection, [games], 32, 1500) == [pytest.approx(by_the_book(games, 32, 1500), abs=1e-9)]


def test_nothing_and_null(both: list[duckdb.DuckDBPyConnection]) -> None:
    for connection in both:
        games = "STRUCT(p1 BIGINT, p2 BIGINT, score DOUBLE)[]"
        assert connection.sql(f"SELECT elo_fold([]::{games}, 0, 32, 1500)").fetchall() == [([],)]
        assert connection.sql(f"SELECT elo_fold(NULL::{games}, 2, 32, 1500)").fetchall() == [(None,)]


def test_enormous_gaps_have_certain_outcomes(both: list[duckdb.DuckDBPyConnection]) -> None:
    games = [(1, 2, 1.0), (1, 2, 1.0), (2, 1, 0.0), (2, 1, 1.0)]
    for connection in both:
        ((*_, before, after, _, _),) = folded(connection, [games], 1e6, 0)
        assert (before, after) == (-5e5, 5e5)


def stored_games(path: Path, folder: Path) -> Store:
    """The games of a file of evalica's, as battles in the order of its rows."""
    winners = {"left": "p1", "right": "p2", "tie": None}
    with path.open() as file:
        found = enumerate(csv.DictReader(file))
        return fill(
            folder, [battle(number, row["left"], row["right"], winners[row["winner"]]) for number, row in found]
        )


def both_ways(store: Store, sql: str) -> Iterator[list[dict[str, object]]]:
    """The rows of ``sql`` in this process, then in ``pokeladder.duckdb``."""
    yield rows(connect(store), sql)
    client_database.write_database(store.database, store.files)
    with duckdb.connect(store.database, read_only=True) as plain:
        yield rows(plain, sql)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("food", {"Tacos": 1577.4638, "Sushi": 1520.1571, "Burger": 1486.6672, "Pasta": 1462.3168, "Pizza": 1453.3952}),
        ("simple", {"4": 1535.0290, "3": 1525.3053, "2": 1498.7010, "1": 1498.6195, "0": 1442.3451}),
    ],
)
def test_reference_values(tmp_path: Path, name: str, wanted: dict[str, float]) -> None:
    for found in both_ways(stored_games(DATA / f"{name}.csv", tmp_path), "SELECT agent, elo, rank FROM elo"):
        assert {row["agent"]: row["elo"] for row in found} == pytest.approx(wanted, abs=1e-4)
        assert [row["agent"] for row in found] == list(wanted)
        assert [row["rank"] for row in found] == [1, 2, 3, 4, 5]


def test_another_factor(tmp_path: Path) -> None:
    games = [("a", "b"), ("a", "c"), ("b", "c")]
    store = fill(tmp_path, [battle(number, *pair, "p1") for number, pair in enumerate(games)])
    for found in both_ways(store, "SELECT agent, elo FROM elo_with(k := 20)"):
        assert {row["agent"]: row["elo"] for row in found} == pytest.approx(
            {"a": 1519.712, "b": 1500.008, "c": 1480.279}, abs=1e-3
        )


def test_the_order_of_finish_decides(tmp_path: Path) -> None:
    """Battles that finished together go by their ids; how they lie in files does not matter."""
    played = [
        battle(number, *pair, "p1") for number, pair in enumerate([("a", "b"), ("b", "c"), ("c", "a"), ("a", "c")])
    ]
    together = [battle(9, "b", "a", "p1", battle_id=f"run-{name}") for name in "zyx"]
    wanted = None
    for number, battles in enumerate(([*played, *together], [*reversed(together), *reversed(played)])):
        store = Store(tmp_path / str(number))
        writer = BatchWriter(store, "run")
        for one in battles:
            writer.write([one])
        for found in both_ways(store, "FROM elo_progression ORDER BY seq"):
            assert [row["battle_id"] for row in found[-3:]] == ["run-x", "run-y", "run-z"]
            assert [row["seq"] for row in found] == list(range(1, 8))
            wanted = wanted or found
            assert found == wanted


def test_equal_ratings_share_a_rank(tmp_path: Path) -> None:
    store = fill(tmp_path, [battle(0, "d", "a", "p1"), battle(1, "b", "c", "p1")])
    for found in both_ways(store, "SELECT rank, agent, games FROM elo"):
        assert [tuple(row.values()) for row in found] == [(1, "b", 1), (1, "d", 1), (3, "a", 1), (3, "c", 1)]


def test_progression_of_several_formats(tmp_path: Path) -> None:
    """Each rating before a battle is the one after the battle before, within a format; sums stay as they were."""
    names = ["ann", "bob", "cat", "dan"]
    battles = [
        battle(
            number,
            names[number % 4],
            names[(number + 1 + number % 3) % 4],
            ["p1", "p2", None][number % 7 % 3],
            format=f,
        )
        for number in range(80)
        for f in [f"gen{1 + number % 3}ou"]
    ]
    store = fill(tmp_path, battles)
    paths = list(both_ways(store, "FROM elo_progression ORDER BY format, seq"))
    assert [list(row.values()) for row in paths[0]] == [pytest.approx(list(row.values()), abs=1e-9) for row in paths[1]]
    ratings: dict[tuple[object, object], object] = {}
    for row in paths[0]:
        for side in ("p1", "p2"):
            assert row[f"{side}_before"] == ratings.get((row["format"], row[side]), 1500.0)
            ratings[row["format"], row[side]] = row[f"{side}_after"]
    finals = rows(connect(store), "FROM elo")
    assert {(row["format"], row["agent"]): row["elo"] for row in finals} == ratings
    for battle_format in ("gen1ou", "gen2ou", "gen3ou"):
        assert sum(row["elo"] - 1500 for row in finals if row["format"] == battle_format) == pytest.approx(0, abs=1e-9)
    assert sum(row["games"] for row in finals) == 2 * len(paths[0])


def test_battles_are_folded_a_batch_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one batch ends and the next begins, in the middle of a format too, makes no difference."""
    battles = [
        battle(number, names[0], names[1], ["p1", "p2", None][number % 7 % 3], format=f"gen{1 + number // 20}ou")
        for number in range(60)
        for names in [[("ann", "bob"), ("bob", "cat"), ("dan", "ann")][number // 15 % 3]]
    ]
    store = fill(tmp_path, battles)
    found = []
    for size in (folds.BATCH, 7):
        monkeypatch.setattr(folds, "BATCH", size)
        connection = connect(store)
        views.progression(connection, 32, 1500)
        found.append([rows(connection, f"FROM {name}") for name in ("progression", "elo", "glicko")])
    assert found[0] == found[1]
    progression, elo, _ = found[0]
    assert progression == rows(connect(store), "FROM elo_progression ORDER BY format, seq")
    last = {(row["format"], row[side]): row[f"{side}_after"] for row in progression for side in ("p1", "p2")}
    assert {(row["format"], row["agent"]): row["elo"] for row in elo} == last


def test_memory_is_bounded_and_nothing_stays_in_the_temporary_folder(
    tmp_path: Path, command_line: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit goes to a folder that only this user can read, and that goes with the process."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    fill(tmp_path / "ladder", [battle(0, "ann", "bob", "p1")])
    subprocess.run([*command_line, "--store", tmp_path / "ladder", "elo"], check=True, capture_output=True)
    assert list((tmp_path / "temporary").iterdir()) == []
    connection = connect(Store(tmp_path / "ladder"))
    (found,) = connection.sql("SELECT current_setting('memory_limit'), current_setting('temp_directory')").fetchall()
    assert found[0] == "762.9 MiB"
    assert Path(found[1]).parent.stat().st_mode & 0o777 == 0o700
