from __future__ import annotations

import csv
import glob
import json
import subprocess
import sys
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pokeladder.errors import QueryError, StoreError
from pokeladder.query import catalogue, client_database, statements, views
from pokeladder.store.files import Store
from pokeladder.store.rows import Battle
from pokeladder.store.writer import BatchWriter
from stores import battle, connect, elo_file, fill, rows, run_of

Z = 1.959963984540054


MIXED = [
    battle(0, "ann", "bob", "p1", p1_steps=10, p1_invalid=2, turns=10),
    battle(1, "bob", "ann", "p1", p2_steps=30, p2_invalid=2, turns=30, end_reason="timeout"),
    battle(2, "ann", "cat", None, turns=20, p1_steps=20),
    battle(3, "ann", "bob", None, outcome="void", end_reason="crash"),
    battle(4, "ann", "ann", "p1"),
    battle(5, "bob", "cat", "p2", run_id="late", battle_id="late-000005"),
    battle(6, "ann", "bob", "p2", format="gen2ou"),
]


@pytest.fixture
def mixed(tmp_path: Path) -> Store:
    return fill(tmp_path / "mixed", MIXED, [run_of(), run_of("late", scheduled=1)])


def test_the_order_names_every_text_once() -> None:
    folder = Path(str(files("pokeladder.sql")))
    texts = {str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.sql")}
    assert len(set(catalogue.VIEWS)) == len(catalogue.VIEWS)
    folded = {text for text in views.FOLDED.values() if text is not None}
    assert set(catalogue.VIEWS) | folded == {text for text in texts if not text.startswith("queries/")}


def test_battles_have_every_column_but_the_log(mixed: Store) -> None:
    connection = connect(mixed)
    assert connection.table("battles").columns == [
        name for name in Battle.__slots__ if name not in ("p1_packed", "p2_packed", "input_log")
    ]
    found = rows(connection, "FROM battles ORDER BY finished_at")
    assert len(found) == 7
    assert found[6]["finished_at"] == datetime(2026, 3, 1, 12, 0, 6)  # noqa: DTZ001 - UTC without saying so
    assert rows(connection, "SELECT count(*) AS n, count(input_log) AS logs FROM input_logs") == [{"n": 7, "logs": 0}]


def test_only_battles_that_count_are_rated(mixed: Store) -> None:
    connection = connect(mixed)
    found = rows(connection, "SELECT battle_id, score FROM rated_battles ORDER BY finished_at")
    scores = {"run-000000": 1, "run-000001": 1, "run-000002": 0.5, "late-000005": 0, "run-000006": 0}
    assert {row["battle_id"]: row["score"] for row in found} == scores
    assert rows(connection, "SELECT count(*) AS n FROM results") == [{"n": 10}]
    assert rows(connection, "SELECT count(*) AS n FROM elo_progression") == [{"n": 5}]


def test_results_have_both_points_of_view(mixed: Store) -> None:
    columns = (
        "side, agent, opponent, score, result, steps, invalid_actions, pokemon_left, team_name, opponent_team_name,"
        " turns"
    )
    found = rows(connect(mixed), f"SELECT {columns} FROM results WHERE battle_id = 'run-000000' ORDER BY side")
    first = ("p1", "ann", "bob", 1.0, "WIN", 10, 2, 1, "a", "b", 10)
    second = ("p2", "bob", "ann", 0.0, "LOSS", 26, 0, 0, "b", "a", 10)
    assert [tuple(row.values()) for row in found] == [first, second]


def test_statistics(mixed: Store) -> None:
    (ann,) = rows(connect(mixed), "FROM statistics WHERE format = 'gen1ou' AND agent = 'ann'")
    expected = {"games": 3, "wins": 1, "losses": 1, "ties": 1, "win_rate": 0.5, "avg_turns": 20, "avg_steps": 20}
    expected |= {"steps": 60, "invalid_actions": 4, "invalid_rate": 4 / 60, "forfeits": 1}
    assert {name: ann[name] for name in expected} == pytest.approx(expected)


def test_matchups_are_a_matrix(mixed: Store) -> None:
    found = rows(connect(mixed), "FROM matchups WHERE format = 'gen1ou'")
    cells = {(row["agent"], row["opponent"]): (row["games"], row["wins"], row["losses"], row["ties"]) for row in found}
    assert cells == {
        ("ann", "bob"): (2, 1, 1, 0),
        ("bob", "ann"): (2, 1, 1, 0),
        ("ann", "cat"): (1, 0, 0, 1),
        ("cat", "ann"): (1, 0, 0, 1),
        ("bob", "cat"): (1, 0, 1, 0),
        ("cat", "bob"): (1, 1, 0, 0),
    }


@pytest.mark.parametrize(
    ("wins", "ties", "games"), [(0, 0, 1), (1, 0, 1), (0, 1, 1), (8, 0, 10), (7, 2, 10), (0, 0, 30), (200, 0, 200)]
)
def test_wilson_interval(tmp_path: Path, wins: int, ties: int, games: int) -> None:
    winners = ["p1"] * wins + [None] * ties + ["p2"] * (games - wins - ties)
    store = fill(tmp_path, [battle(number, "ann", "bob", winner) for number, winner in enumerate(winners)])
    found = rows(connect(store), "SELECT win_rate, win_rate_low, win_rate_high FROM matchups ORDER BY agent")
    # The bounds are the p for which the mean score is z standard errors, those of p, away.
    score = (wins + ties / 2) / games
    low, high = sorted(np.roots([1 + Z**2 / games, -2 * score - Z**2 / games, score**2]).real)
    assert [*found[0].values()] == pytest.approx([score, low, high], abs=1e-9)
    assert [*found[1].values()] == pytest.approx([1 - score, 1 - high, 1 - low], abs=1e-9)
    assert 0 <= found[0]["win_rate_low"] <= score <= found[0]["win_rate_high"] <= 1
    if (wins, ties, games) == (8, 0, 10):
        assert (low, high) == pytest.approx((0.4901625, 0.9433178), abs=1e-7)


GAMES = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd"), st.sampled_from(["p1", "p2", None])), max_size=12
)


@settings(max_examples=8, deadline=None)
@given(games=GAMES)
def test_sides_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, games: list[tuple[str, str, str | None]]
) -> None:
    turned = {"p1": "p2", "p2": "p1", None: None}
    found = []
    for battles in (
        [battle(number, p1, p2, winner) for number, (p1, p2, winner) in enumerate(games)],
        [battle(number, p2, p1, turned[winner]) for number, (p1, p2, winner) in enumerate(games)],
    ):
        connection = connect(fill(tmp_path_factory.mktemp("sides"), battles))
        matchups = rows(connection, "SELECT * EXCLUDE (format) FROM matchups")
        elo = rows(connection, "SELECT agent, round(elo, 6) AS elo, rank, games FROM elo")
        found.append((matchups, elo))
    assert found[0] == found[1]
    assert sum(row["wins"] for row in found[0][0]) == sum(row["losses"] for row in found[0][0])


def test_formats_are_never_mixed(tmp_path: Path) -> None:
    names = ["ann", "bob", "cat"]
    battles = [
        battle(
            number, names[number % 3], names[(number + 1 + number % 2) % 3], "p1", format=f"gen{1 + number % 5 % 2}ou"
        )
        for number in range(60)
    ]
    together = connect(fill(tmp_path / "together", battles))
    for battle_format in ("gen1ou", "gen2ou"):
        alone = connect(fill(tmp_path / battle_format, [b for b in battles if b.format == battle_format]))
        for view in ("elo", "matchups", "statistics", "elo_progression"):
            wanted = rows(alone, f"FROM {view} ORDER BY ALL")
            assert rows(together, f"FROM {view} WHERE format = '{battle_format}' ORDER BY ALL") == wanted
            assert (
                rows(connect(Store(tmp_path / "together"), battle_format=battle_format), f"FROM {view} ORDER BY ALL")
                == wanted
            )


def test_runs_count_their_battles_also_in_a_slice(mixed: Store) -> None:
    for slice_ in ({}, {"battle_format": "gen2ou"}):
        found = rows(connect(mixed, **slice_), "SELECT run_id, played, void, finished FROM runs ORDER BY run_id")
        late = {"run_id": "late", "played": 1, "void": 0, "finished": True}
        assert found == [late, {"run_id": "run", "played": 5, "void": 1, "finished": False}]


@pytest.mark.parametrize(
    ("slice_", "numbers"),
    [
        ({}, {0, 1, 2, 3, 4, 5, 6}),
        ({"battle_format": "gen2ou"}, {6}),
        ({"run": "late"}, {5}),
        ({"agents": ["ann", "cat"]}, {2, 4}),
        ({"agents": []}, set()),
        ({"agents": ["o'brien", '") OR ("1" = "1']}, set()),
        ({"battle_format": "' OR '1' = '1"}, set()),
        ({"where": "turns < 20 OR outcome = 'void'"}, {0, 3}),
        ({"where": "battles.p1 = 'bob' -- a remark"}, {1, 5}),
        ({"where": "finished_at >= '2026-03-01 12:00:05'", "agents": ["ann", "bob"]}, {6}),
    ],
)
def test_slices(mixed: Store, slice_: dict[str, Any], numbers: set[int]) -> None:
    connection = connect(mixed, **slice_)
    assert {row["game"] for row in rows(connection, "SELECT game FROM battles")} == numbers
    rated = numbers - {3, 4}
    assert {row["game"] for row in rows(connection, "SELECT game FROM rated_battles")} == rated
    assert rows(connection, "SELECT count(*) AS n FROM elo_progression") == [{"n": len(rated)}]


@pytest.mark.parametrize(
    "where",
    [
        "",
        "turns >",
        "true) OR (true",
        "true; DROP VIEW battles",
        "turns, game",
        "true LIMIT 1",
        "nothing = 1",
        "count(*) > 1",
        "turns > $1",
        "'x'",
        "turns",
        "NULL",
        "game IN (SELECT game FROM results)",
    ],
)
def test_a_bad_condition_is_refused(mixed: Store, where: str) -> None:
    with pytest.raises(QueryError) as caught:
        connect(mixed, where=where)
    assert caught.value.statement == where


def test_an_empty_store_has_all_views(tmp_path: Path) -> None:
    store = Store(tmp_path)
    client_database.write_database(store.database, store.files)
    for connection in (connect(store), duckdb.connect(store.database, read_only=True)):
        for item in catalogue.VIEWS:
            kind, name = item.split("/")
            assert kind != "views" or rows(connection, f"FROM {name}") == []


def test_relations_outlive_their_connection(mixed: Store) -> None:
    relation = statements.run_sql(connect(mixed), "FROM elo")
    derived = relation.filter("rank = 1 AND format = 'gen2ou'")
    del relation
    assert [row[2] for row in derived.fetchall()] == ["bob"]


def test_errors_show_the_statement(mixed: Store) -> None:
    connection = connect(mixed)
    for sql in ("SELECT nothing FROM battles", "FROM FROM", "", "-- only a remark"):
        with pytest.raises(QueryError) as caught:
            statements.run_sql(connection, sql)
        assert caught.value.statement == sql
    late = statements.run_sql(connection, "SELECT error(p1) FROM battles")
    with pytest.raises(QueryError), statements.query_errors("late"):
        late.fetchall()
    assert statements.run_sql(connection, "SELECT $a AS b", {"a": 2}).fetchall() == [(2,)]


def test_files_of_the_old_pipeline(mixed: Store, tmp_path: Path) -> None:
    ratings = json.loads(elo_file(mixed, "elo_results_ratings.json", tmp_path).read_text())
    assert (ratings["k_factor"], ratings["initial_rating"]) == (20, 1000)
    assert [(name, agent["rank"]) for name, agent in ratings["ratings"].items()] == [("cat", 1), ("ann", 2), ("bob", 3)]
    progression = list(csv.DictReader(elo_file(mixed, "elo_results_progression.csv", tmp_path).open()))
    assert [row["battle_num"] for row in progression] == ["1", "2", "3", "4"]
    assert list(progression[0].values()) == ["1", "ann", "bob", "WIN", "1000.0", "1010.0", "1000.0", "990.0"]
    assert [row["result"] for row in progression] == ["WIN", "WIN", "TIE", "LOSS"]
    last = {row["player"]: row["player_rating_after"] for row in progression}
    assert float(last["bob"]) == ratings["ratings"]["bob"]["elo"]
    assert elo_file(mixed, "elo_results_matchup_matrix.csv", tmp_path).read_text().splitlines() == [
        "Model,cat,ann,bob",
        "cat,-,0-0,1-0",
        "ann,0-0,-,1-1",
        "bob,0-1,1-1,-",
    ]
    assert elo_file(mixed, "elo_results_statistics.csv", tmp_path).read_text().splitlines() == [
        "Model,Wins,Losses,Total Battles,Win Rate,Avg Turn Count",
        "cat,1,0,2,75.0%,20.0",
        "ann,1,1,3,50.0%,20.0",
        "bob,1,2,3,33.3%,20.0",
    ]


def test_a_matrix_of_odd_names(tmp_path: Path) -> None:
    store = fill(tmp_path / "odd", [battle(0, "Ann", "ann", "p1"), battle(1, 'a"b, c', "Model", "p2")])
    found = list(csv.reader(elo_file(store, "elo_results_matchup_matrix.csv", tmp_path).open()))
    assert found == [
        ["Model", "Ann", "Model", 'a"b, c', "ann"],
        ["Ann", "-", "0-0", "0-0", "1-0"],
        ["Model", "0-0", "-", "1-0", "0-0"],
        ['a"b, c', "0-0", "0-1", "-", "0-0"],
        ["ann", "0-1", "0-0", "0-0", "-"],
    ]


@pytest.mark.parametrize("name", ["elo_results_ratings.json", "elo_results_progression.csv"])
def test_files_of_an_empty_slice(tmp_path: Path, name: str) -> None:
    text = elo_file(Store(tmp_path / "empty"), name, tmp_path).read_text()
    assert json.loads(text)["ratings"] == {} if name.endswith("json") else len(text.splitlines()) == 1


def test_a_file_that_cannot_be_written(mixed: Store, tmp_path: Path) -> None:
    (tmp_path / "nowhere").write_text("in the way")
    with pytest.raises(StoreError, match="nowhere"):
        elo_file(mixed, "elo_results_progression.csv", tmp_path / "nowhere")


def test_the_database_is_current_only_as_written(mixed: Store, tmp_path: Path) -> None:
    path, globs = mixed.database, mixed.files
    assert not client_database.database_is_current(path, globs)
    path.write_bytes(b"rubbish")
    assert not client_database.database_is_current(path, globs)
    path.with_name("pokeladder.duckdb.wal").write_bytes(b"left by a crashed client")
    client_database.write_database(path, globs)
    assert client_database.database_is_current(path, globs)
    assert not client_database.database_is_current(path, {**globs, "battle_files": "elsewhere/*.parquet"})
    assert sorted(item.name for item in mixed.folder.iterdir()) == [
        "battles",
        "documents",
        "logs",
        "merges",
        "points",
        "pokeladder.duckdb",
        "pokeladder.duckdb.sha256",
        "runs",
        "server_battles",
        "trajectories",
        "unfinished",
        "versions",
    ]
    # A store that was moved.
    moved = Store(mixed.folder.rename(tmp_path / "moved"))
    assert not client_database.database_is_current(moved.database, moved.files)
    client_database.write_database(moved.database, moved.files)
    with duckdb.connect(moved.database, read_only=True) as connection:
        assert rows(connection, "SELECT count(*) AS n FROM battles") == [{"n": 7}]


def test_a_database_that_cannot_be_written(mixed: Store) -> None:
    with pytest.raises(StoreError, match="cannot write"):
        client_database.write_database(mixed.folder / "nowhere" / "pokeladder.duckdb", mixed.files)


@pytest.mark.parametrize(
    "name", ["with space", "o'brien", 'a "b"', "set=1", "a[bc]d", "st*r", "wh?t", "{a,b}", "$home", "Pokémon", "50%"]
)
def test_odd_folders(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    store = fill(folder, MIXED, [run_of()])
    assert store.files["battle_files"][-1] == f"{glob.escape(str(folder))}/battles/**"
    client_database.write_database(store.database, store.files)
    assert client_database.database_is_current(store.database, store.files)
    with duckdb.connect(store.database, read_only=True) as connection:
        assert rows(connection, "SELECT count(*) AS n FROM battles") == [{"n": 7}]
        assert "set" not in connection.table("battles").columns
    assert rows(connect(store), "SELECT count(*) AS n FROM runs") == [{"n": 1}]


# Reads until the last battle is there; a battle seen once must stay, and batches of 5 must be seen whole.
CLIENT = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=True)
seen = []
while not seen or seen[-1] < 100:
    seen.append(connection.sql("SELECT count(*) FROM battles").fetchall()[0][0])
    if len(seen) == 1:
        print("ready", flush=True)
assert seen == sorted(seen) and all(n % 5 == 0 for n in seen), seen
assert connection.sql("SELECT sum(games) FROM elo").fetchall() == [(200,)]
assert connection.sql("SELECT elo FROM elo_with(k := 0, initial := 1000)").fetchall() == [(1000.0,)] * 2
assert connection.sql("SELECT * FROM matchups").columns[:3] == ["format", "agent", "opponent"]
connection.close()
attached = duckdb.connect()
attached.execute(f"ATTACH '{sys.argv[1]}' AS ladder (READ_ONLY)")
assert attached.sql("SELECT sum(games) FROM ladder.elo").fetchall() == [(200,)]
print(len(set(seen)), flush=True)
"""


def test_another_client_reads_while_battles_are_added(tmp_path: Path) -> None:
    store = Store(tmp_path / "live")
    client_database.write_database(store.database, store.files)
    with subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(store.database)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "ready\n"
        writer = BatchWriter(store, "run")
        for first in range(0, 100, 5):
            writer.write([battle(number, "ann", "bob", "p1") for number in range(first, first + 5)])
        # Writing the file anew does not disturb those who have it open.
        client_database.write_database(store.database, store.files)
        output, errors = client.communicate()
    assert client.returncode == 0, errors
    assert int(output) > 1


def test_what_a_statement_needs_is_made(tmp_path: Path) -> None:
    """Each view answers where nothing is but what :func:`views.needed` finds."""
    store = Store(tmp_path)
    for name in catalogue.view_names(internal=True):
        connection = connect(store, items=views.needed(f"FROM {name}"))
        assert connection.sql(f"FROM {name}").fetchall() == []
    assert len(views.needed("FROM battles")) < 6
    # An order is not a list of the views.
    assert len(views.needed("FROM battles ORDER BY turns DESC")) < 6
    assert views.needed("SELECT 1; DESC") == catalogue.VIEWS
