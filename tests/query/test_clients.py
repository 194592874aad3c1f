"""Other DuckDB clients read the store through ``pokeladder.duckdb``.

`POKELADDER_OTHER_DUCKDB` names interpreters, separated by ":", of environments with other versions of DuckDB, and maybe
its command line, as `.ci/run` makes them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

import pokeladder
from ask_duckdb import answers
from batch_files import new_store
from pokeladder.query import catalogue, client_database, views
from pokeladder.query.texts import text
from pokeladder.store.files import Store
from pokeladder.store.rows import AgentVersion
from pokeladder.store.writer import BatchWriter
from running import HELPERS
from stores import battle, run_of

OTHERS = [Path(path) for path in os.environ.get("POKELADDER_OTHER_DUCKDB", "").split(":") if path]
GAMES = "[{'p1': 1, 'p2': 2, 'score': 1.0}, {'p1': 2, 'p2': 3, 'score': 0.5}]"
RATED = "{'rating': 1500.0, 'deviation': 130.0}"
LOG = "{'agent': [1, 2], 'rating': [1500.0, 1400.0]}, {'agent': [1, 2], 'rating': [1.0]}"
# How each macro is called; those that make tables begin with FROM.
MACROS = {
    "misplaced": "FROM misplaced('/elsewhere', 'no such mark')",
    "current_rows": "SELECT battle_id FROM current_rows($battles, TRUE)",
    "hundredths": "hundredths(0.123)",
    "opponent_hp": "opponent_hp([{'opponent_species': 'a', 'opponent_hp': 0.5, 'opponents_left': 6}])",
    "move_fields": "move_fields()",
    "parse_moves": """parse_moves('[{"name": "surf", "accuracy": 1.0, "max_pp": 24}]'::JSON)""",
    "parse_pokemon": """parse_pokemon('[{"name": "tauros", "moves": [{"name": "surf"}]}]'::JSON)""",
    "as_exported": "as_exported('a_b')",
    "without_team_set": "without_team_set('m_Unrated_a_vs_b_07-20-2026-10:11:10_ts-x_LOSS')",
    "wilson_centre": "wilson_centre(0.7, 10)",
    "wilson_half_width": "wilson_half_width(0.7, 10)",
    "wilson": "wilson(0.7, 10)",
    "metamon_file_name": "metamon_file_name(NULL, 't', 'gen1ou', 1500, 'a b', 'c', TIMESTAMP '2026-03-01', 'TIE')",
    "elo_rating": f"elo_rating({LOG}, 2)",
    "elo_change": f"elo_change({LOG}, 32)",
    "elo_block": f"elo_block({GAMES})",
    "elo_fold": f"elo_fold({GAMES}, 3, 32, 1500)",
    "elo_progression_with": "FROM elo_progression_with(k := 16, initial := 1000)",
    "elo_latest": "FROM elo_latest(32, 1500)",
    "glicko_latest": "FROM glicko_latest()",
    "elo_with": "FROM elo_with(k := 16)",
    "z95": "z95()",
    "logistic": "logistic(0.5)",
    "elo_unit": "elo_unit()",
    "rating_components": "FROM rating_components()",
    "rating_estimates": "FROM rating_estimates(prior := 1)",
    "win_chance": "win_chance(100)",
    "solve_linear": "solve_linear([[2.0, 1.0], [1.0, 3.0]], [[1.0], [2.0]])",
    "information": "information([[0.0, 2.0], [2.0, 0.0]], [0.1, -0.1], 0)",
    "ratings_with": "FROM ratings_with(prior := 1)",
    "normal_cdf": "normal_cdf(1.5)",
    "elo_of_score": "elo_of_score(0.6)",
    "matchups_with": "FROM matchups_with(alpha := 0.1)",
    "glicko_attenuation": "glicko_attenuation(100)",
    "glicko_update": "glicko_update(1500, 200, [{'rating': 1400.0, 'deviation': 30.0, 'score': 1.0}])",
    "glicko_after": f"glicko_after({RATED}, {RATED}, 1.0)",
    "glicko_fold": f"glicko_fold({GAMES}, 3)",
    "gxe": "gxe(1600, 80)",
}
COPY = "its views read the store of"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with rows in every view: ann beats bob, bob beats cat, and cat beats ann; one battle was played twice."""
    store = new_store(str(tmp_path_factory.mktemp("clients") / "ladder"), 6)
    store.add_run(run_of("more", 20))
    pairs = [("bob", "cat"), ("cat", "ann"), ("ann", "dee"), ("ann", "bob")]
    battles = [
        battle(
            number, *pairs[number % 4], winner, run_id="more", battle_id=f"more-{number:06d}", pair_id=f"{number // 8}"
        )
        for number, winner in enumerate(["p1", "p1", "p1", None, "p1", "p1", "p2", "p1"] * 3)
    ]
    again = replace(battles[0], battle_id="more-000019", game=19, finished_at=datetime(2026, 4, 1, tzinfo=UTC))
    BatchWriter(store, "more").write([replace(one, run_seed="7", played=number) for number, one in enumerate(battles)])
    BatchWriter(store, "again").write([replace(again, run_id="again", run_seed="7", played=0)])
    store.add_versions([AgentVersion("more", "ann", "0123", '{"module ann": "4567"}', datetime.now(UTC))])
    client_database.write_database(store.database, store.files)
    return store


@pytest.fixture(scope="module")
def questions(store: Store) -> dict[str, str]:
    """A query of each view and macro."""
    asked = {}
    # In the order of their rows, which no query but the outermost decides.
    for name in catalogue.view_names(internal=True):
        asked[name] = f"FROM {name} ORDER BY ALL"
    for name, call in MACROS.items():
        (battles,) = ([glob] for glob in store.files["battle_files"][-1:])
        called = call.replace("$battles", str(battles))
        asked[name] = f"{called} ORDER BY ALL" if "FROM " in called else f"SELECT {called} AS called"
    return asked


def close(found: Any, wanted: Any) -> bool:
    """Whether they are alike but for the last digits of their numbers."""
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(close, found, wanted))
    if isinstance(found, dict) and isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(close(found[key], wanted[key]) for key in found)
    if isinstance(found, float) or isinstance(wanted, float):
        return found == pytest.approx(wanted, rel=1e-9, abs=1e-9)
    return bool(found == wanted)


def test_every_macro_is_called() -> None:
    assert set(MACROS) == {item.removeprefix("macros/") for item in catalogue.VIEWS if item.startswith("macros/")}


def test_every_view_has_rows_and_is_what_pokeladder_answers(store: Store, questions: dict[str, str]) -> None:
    found = dict(zip(questions, answers(str(store.database), list(questions.values())), strict=True))
    ours = views.connect(store.files)
    for name, (columns, rows) in found.items():
        assert rows or name == "misplaced", name
        if name not in MACROS:
            asked = ours.sql(questions[name])
            assert asked.columns == columns
            assert close(rows, json.loads(json.dumps(asked.fetchall(), default=str))), name


@pytest.mark.skipif(not OTHERS, reason="POKELADDER_OTHER_DUCKDB names no other version of DuckDB")
@pytest.mark.parametrize("python", OTHERS, ids=lambda path: path.parent.parent.name)
def test_another_version_answers_the_same(store: Store, questions: dict[str, str], python: Path) -> None:
    version, found = asked_elsewhere(python, store.database, list(questions.values()))
    wanted = answers(str(store.database), list(questions.values()))
    for name, theirs, ours in zip(questions, found, wanted, strict=True):
        assert close(theirs, ours), (version, name, theirs, ours)


@pytest.mark.skipif(not OTHERS, reason="POKELADDER_OTHER_DUCKDB names no other version of DuckDB")
@pytest.mark.parametrize("python", OTHERS, ids=lambda path: path.parent.parent.name)
def test_the_command_line_of_another_version(store: Store, python: Path) -> None:
    command = python.parent / "duckdb"
    if not command.exists():
        pytest.skip("it has none")
    names = catalogue.view_names(internal=True)
    query = " UNION ALL ".join(f"SELECT '{name}' AS name, count(*) AS n FROM (FROM {name} LIMIT 1)" for name in names)
    done = subprocess.run(
        [command, "-readonly", "-json", store.database, "-c", query], capture_output=True, text=True, check=True
    )
    assert {row["name"]: row["n"] for row in json.loads(done.stdout)} == dict.fromkeys(names, 1)


@pytest.mark.skipif(not OTHERS, reason="POKELADDER_OTHER_DUCKDB names no other version of DuckDB")
@pytest.mark.parametrize("python", OTHERS, ids=lambda path: path.parent.parent.name)
def test_a_copy_does_not_answer_in_another_version(store: Store, tmp_path: Path, python: Path) -> None:
    copy = shutil.copytree(store.folder, tmp_path / "copy", symlinks=True)
    for version, found in (
        asked_elsewhere(python, copy / "pokeladder.duckdb", ["FROM battles", "FROM runs", "FROM elo_with(k := 16)"]),
        asked_elsewhere(python, Path(os.path.relpath(copy / "pokeladder.duckdb")), ["FROM battles"]),
    ):
        assert all(isinstance(error, str) and COPY in error for error in found), (version, found)


def asked_elsewhere(python: Path, database: Path, queries: list[str]) -> tuple[str, list[Any]]:
    script = HELPERS / "ask_duckdb.py"
    done = subprocess.run(
        [python, script, database], input=json.dumps(queries), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    version, found = json.loads(done.stdout)
    return version, found


def test_the_file_is_of_a_format_that_duckdb_1_reads(store: Store) -> None:
    with duckdb.connect(store.database, read_only=True) as connection:
        tags = connection.sql("SELECT tags FROM duckdb_databases() WHERE NOT internal").fetchall()
    assert tags == [({"storage_version": f"{client_database.STORAGE_VERSION}+"},)]
    # DuckDB 2 stores it as a function that DuckDB 1 does not have.
    assert [item for item in catalogue.VIEWS if re.search(r"\bif\s*\(", text(item), re.IGNORECASE)] == []


def attached(path: Path, query: str = "SELECT count(*) FROM other.battles") -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH {duckdb.ConstantExpression(str(path))} AS other (READ_ONLY)")
        return connection.sql(query).fetchall()


def test_a_copy_does_not_answer_from_the_original(store: Store, tmp_path: Path) -> None:
    copy = shutil.copytree(store.folder, tmp_path / "it's a copy", symlinks=True)
    with duckdb.connect(copy / "pokeladder.duckdb", read_only=True) as connection:
        named = "SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE NOT internal"
        for (name,) in connection.sql(named).fetchall():
            with pytest.raises(duckdb.Error, match=COPY) as caught:
                connection.sql(f"SELECT count(*) FROM {name}").fetchall()
            assert str(copy) in str(caught.value)
    # Nor is it to be mistaken for the original where both are open.
    with duckdb.connect(copy / "pokeladder.duckdb", read_only=True) as connection:
        connection.execute(f"ATTACH '{store.database}' AS original (READ_ONLY)")
        with pytest.raises(duckdb.Error, match=COPY):
            connection.sql("FROM battles").fetchall()
    # pokeladder makes it the copy's own.
    pokeladder.open(copy)
    shutil.rmtree(copy / "battles" / "more")
    assert attached(copy / "pokeladder.duckdb") == [(7,)]
    assert attached(store.database) == [(31,)]


def test_a_copy_of_an_empty_store_says_so_too(tmp_path: Path) -> None:
    pokeladder.open(tmp_path / "empty")
    copy = shutil.copytree(tmp_path / "empty", tmp_path / "copy")
    for name in ("battles", "runs", "elo"):
        with pytest.raises(duckdb.Error, match=COPY):
            attached(copy / "pokeladder.duckdb", f"FROM other.{name}")


def test_views_that_were_copied_out_of_the_file(store: Store) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{store.database}' AS ladder (READ_ONLY)")
        connection.execute("ATTACH ':memory:' AS mine")
        connection.execute("COPY FROM DATABASE ladder TO mine")
        with pytest.raises(duckdb.Error, match=COPY):
            connection.sql("FROM mine.battles").fetchall()


def test_the_store_by_its_other_names(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = tmp_path / "link"
    link.symlink_to(store.folder)
    monkeypatch.chdir(store.folder.parent)
    for path in (
        link / "pokeladder.duckdb",
        Path("ladder/pokeladder.duckdb"),
        Path("ladder/../ladder/pokeladder.duckdb"),
    ):
        assert attached(path) == [(31,)]
    # By either name it is one file, which is not made again and again.
    assert client_database.database_is_current(link / "pokeladder.duckdb", Store(link).files)
    client_database.write_database(link / "pokeladder.duckdb", Store(link).files)
    assert client_database.database_is_current(store.database, store.files)
    link.unlink()
    assert attached(store.database) == [(31,)]


def test_a_store_that_is_gone(tmp_path: Path) -> None:
    store = pokeladder.open(tmp_path / "old").store
    moved = store.folder.rename(tmp_path / "new")
    for name in ("battles", "runs", "steps"):
        with pytest.raises(duckdb.Error, match="this store was moved or deleted: open it once with pokeladder"):
            attached(moved / "pokeladder.duckdb", f"FROM other.{name}")
    pokeladder.open(moved)
    assert attached(moved / "pokeladder.duckdb") == [(0,)]


@pytest.mark.parametrize("change", ["more", "log"])
def test_a_file_that_another_client_has_changed_is_made_again(tmp_path: Path, change: str) -> None:
    store = pokeladder.open(tmp_path / "ladder").store
    before = store.database.read_bytes()
    store.database.chmod(0o644)
    changes = {
        "view": "CREATE OR REPLACE VIEW elo AS SELECT 'me' AS agent, 3000 AS elo",
        "more": "CREATE MACRO round(number, digits) AS 0",
    }
    if change in changes:
        with duckdb.connect(store.database) as connection:
            connection.execute(changes[change])
    else:
        script = "import duckdb, os, sys; c = duckdb.connect(sys.argv[1]); c.execute(sys.argv[2]); os._exit(0)"
        subprocess.run([sys.executable, "-c", script, store.database, changes["view"]], check=True)
        assert store.database.read_bytes() == before
    assert not client_database.database_is_current(store.database, store.files)
    pokeladder.open(tmp_path / "ladder")
    assert client_database.database_is_current(store.database, store.files)
    assert attached(store.database, "FROM other.elo") == []


def test_the_file_is_not_to_be_written(tmp_path: Path) -> None:
    former = os.umask(0)
    try:
        store = pokeladder.open(tmp_path / "ladder").store
    finally:
        os.umask(former)
    made = [path for path in store.folder.iterdir() if path.is_file()]
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in made} == {
        "pokeladder.duckdb": 0o444,
        "pokeladder.duckdb.sha256": 0o444,
    }


def test_check_tells_of_a_file_that_cannot_be_made_again(tmp_path: Path) -> None:
    ladder = pokeladder.open(tmp_path / "ladder")
    assert ladder.check().notes == []
    ladder.store.database.unlink()
    # A folder in its place stands for all that keeps it from being written.
    ladder.store.database.mkdir()
    (note,) = ladder.check().notes
    assert note.startswith(
        "pokeladder.duckdb was made by another version of pokeladder, or changed, and the folder cannot"
    )
