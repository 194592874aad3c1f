"""What `pokeladder sql` and `Ladder.sql` run, and what they refuse."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

import pokeladder
from batch_files import new_store
from pokeladder.errors import QueryError
from pokeladder.query import connections, permissions, views


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> pokeladder.Ladder:
    return pokeladder.open(new_store(str(tmp_path_factory.mktemp("asked") / "ladder"), 2).folder)


@pytest.fixture
def inside(ladder: pokeladder.Ladder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of the store; relative names are those of ``tmp_path``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store").symlink_to(ladder.store.folder)
    (tmp_path / "file").symlink_to(ladder.store.folder / "battles" / "run" / "x.csv")
    return next((ladder.store.folder / "battles" / "run").iterdir())


@pytest.fixture(scope="module")
def ask(ladder: pokeladder.Ladder) -> Callable[..., duckdb.DuckDBPyRelation]:
    """As `Ladder.sql`, but with one connection for all, since it takes longer to make than a test to run."""
    connection = views.connect(ladder.store.files)
    connection.execute("SET lock_configuration = true")

    def run(sql: str, *, write: bool = False) -> duckdb.DuckDBPyRelation:
        statements = permissions.checked(connection, sql, write=write, store=ladder.store.folder)
        return permissions.run(connection, statements, None)

    return run


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


READING = [
    "SELECT count(*) FROM battles",
    "FROM battles; FROM elo",
    "WITH a AS (FROM elo) FROM a",
    "-- a remark\nFROM elo /* another */;",
    "SHOW TABLES",
    "DESCRIBE battles",
    "DESCRIBE FROM elo",
    "SUMMARIZE elo",
    "VALUES (1)",
    "EXPLAIN FROM elo",
    "EXPLAIN ANALYZE FROM elo",
    "EXPLAIN (FORMAT json) FROM elo",
    "EXPLAIN (ANALYZE, FORMAT json) SELECT (1)",
    "EXPLAIN (SELECT 1)",
    "PIVOT results ON result USING count(*)",
    "FROM (PIVOT results ON result USING count(*))",
    "SET VARIABLE best = (SELECT agent FROM elo LIMIT 1); SELECT getvariable('best')",
    "RESET VARIABLE best; SELECT 'COPY elo TO ''x''' AS copy, 1 AS \"to\"",
    "FROM query('FROM elo')",
    "FROM elo_with(k := 16)",
]


@pytest.mark.parametrize("sql", READING)
def test_what_reads_is_run(ladder: pokeladder.Ladder, sql: str) -> None:
    assert ladder.sql(sql).fetchall()


NOWHERE = [
    "ATTACH 'out.duckdb'",
    "ATTACH ':memory:' AS more",
    "DETACH memory",
    "EXPORT DATABASE 'out'",
    "IMPORT DATABASE 'out'",
    "COPY FROM DATABASE memory TO temp",
    "INSTALL httpfs",
    "LOAD httpfs",
    "UPDATE EXTENSIONS",
    "PRAGMA version",
    "CALL pragma_version()",
    "CHECKPOINT",
    "SET temp_directory = 'out'",
    "SET enable_external_access = false",
    "RESET lock_configuration",
    "USE temp",
    "PRAGMA profiling_output = 'out'",
    "PREPARE p AS COPY elo TO 'out'; EXECUTE p",
    "FROM enable_logging(storage_path := 'out')",
    "FROM json_execute_serialized_sql(json_serialize_sql('WITH c AS (COPY (SELECT 1) TO ''out'') FROM c'))",
    "FROM query('FROM json_execute_serialized_sql(json_serialize_sql(''SELECT 1''))')",
    "WITH c AS (COPY elo TO 'out') FROM c",
    "SELECT 1; WITH c AS MATERIALIZED (COPY elo TO 'out') SELECT 1 WHERE false",
    "WITH c AS (COPY elo TO 'out') PIVOT results ON result USING count(*)",
    "EXPLAIN ANALYZE WITH c AS (COPY elo TO 'out') FROM c",
    "EXPLAIN (ANALYZE) WITH c AS (COPY elo TO 'out') FROM c",
    "COPY (WITH c AS (COPY elo TO 'out') FROM c) TO 'out2'",
    "COPY elo TO (getvariable('out'))",
    "COPY elo TO E'out'",
    "COPY elo TO $$out$$",
    "COPY elo TO '~/out'",
    "COPY elo TO 'file:out'",
    "COPY elo TO 's3://out/out'",
    "COPY elo TO 'out' (PER_THREAD_OUTPUT, FILENAME_PATTERN '../{i}')",
    "COPY elo TO 'out' (PARTITION_BY (format), \"File_Extension\" '/../x')",
    "CREATE MACRO m(t) AS TABLE FROM query(t); PIVOT m('FROM json_execute_' || 'serialized_sql(''[]'')') ON x",
    "CREATE PERSISTENT SECRET s (TYPE http)",
]


@pytest.mark.parametrize("sql", NOWHERE)
def test_what_is_never_run(ask: Callable[..., duckdb.DuckDBPyRelation], inside: Path, sql: str) -> None:
    before = sorted(Path().iterdir())
    for write in (False, True):
        with pytest.raises(QueryError):
            ask(sql, write=write).fetchall()
    assert sorted(Path().iterdir()) == before


WRITING = [
    "CREATE OR REPLACE TABLE mine AS FROM elo; SELECT count(*) FROM mine",
    "CREATE OR REPLACE TEMP TABLE pivoted AS PIVOT results ON result USING count(*); FROM pivoted",
    "CREATE MACRO twice(x) AS 2 * x; SELECT twice(3)",
    "CREATE VIEW shown AS FROM elo; FROM shown",
    "CREATE OR REPLACE TABLE mine (a INT); INSERT INTO mine VALUES (1); UPDATE mine SET a = 2; FROM mine",
    "COPY elo TO 'out.csv'",
    "COPY (FROM elo) TO 'out''s.csv' (FORMAT csv, HEADER)",
    "COPY (SELECT 'ü' AS \"to\", elo FROM elo) -- TO 'x'\n TO /* here */ 'out.parquet' (FORMAT parquet)",
    "COPY (PIVOT results ON result USING count(*)) TO 'out.json'",
    "COPY results TO 'out' (FORMAT parquet, PARTITION_BY (agent))",
    "EXPLAIN ANALYZE COPY elo TO 'out.csv'",
    "COPY elo TO 'out.csv'; CREATE OR REPLACE TABLE mine AS FROM 'out.csv'; COPY mine FROM 'out.csv'; FROM mine",
]


@pytest.mark.parametrize("sql", WRITING)
def test_what_writes_elsewhere_is_run_with_leave(
    ask: Callable[..., duckdb.DuckDBPyRelation], inside: Path, sql: str
) -> None:
    before = sorted(Path().iterdir())
    with pytest.raises(QueryError, match=r"add --write, or write=True in Python"):
        ask(sql)
    assert sorted(Path().iterdir()) == before
    assert ask(sql, write=True).columns
    assert any(path.name.startswith("out") for path in Path().iterdir()) == ("COPY" in sql)


def test_what_one_statement_makes_is_nobody_elses(ladder: pokeladder.Ladder) -> None:
    assert ladder.sql("CREATE TABLE mine AS FROM elo; FROM mine", write=True).fetchall()
    assert "mine" not in [name for (name,) in ladder.sql("SHOW TABLES").fetchall()]
    with pytest.raises(QueryError, match="CREATE writes, which is not allowed"):
        ladder.sql("CREATE OR REPLACE VIEW elo AS SELECT 1")


INTO = [
    "COPY elo TO '{file}'",
    "COPY elo TO '{folder}/battles/run/new.csv'",
    "COPY elo TO '{folder}/battles/../agents.toml'",
    "COPY elo TO 'store/pokeladder.duckdb'",
    "COPY elo TO 'store/new/new.csv'",
    "COPY elo TO 'file' (USE_TMP_FILE false)",
    "COPY elo TO 'there/../store/x.csv'",
    "COPY results TO '{folder}' (PARTITION_BY (agent), OVERWRITE)",
    "COPY results TO '{folder}/..' (PARTITION_BY (agent), OVERWRITE)",
    "COPY results TO 'store/battles' (PER_THREAD_OUTPUT, OVERWRITE_OR_IGNORE)",
    "EXPLAIN ANALYZE COPY elo TO '{file}'",
    "COPY (PIVOT results ON result USING count(*)) TO '{file}'",
    "SELECT 1; COPY elo TO '{file}'",
]


@pytest.mark.parametrize("sql", INTO)
def test_nothing_writes_into_the_store(
    ask: Callable[..., duckdb.DuckDBPyRelation], ladder: pokeladder.Ladder, inside: Path, sql: str
) -> None:
    before = files(ladder.store.folder.parent)
    with pytest.raises(QueryError, match="COPY must not write into the store"):
        ask(sql.format(file=inside, folder=ladder.store.folder), write=True)
    assert files(ladder.store.folder.parent) == before


def test_other_files_are_read(ladder: pokeladder.Ladder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("authors.csv").write_text("agent,author\nann,me\nbob,you\n")
    Path("authors.json").write_text('[{"agent": "ann", "author": "me"}]')
    ladder.sql("COPY (FROM 'authors.csv') TO 'authors.parquet'", write=True)
    for name in ("authors.csv", "authors.json", "authors.parquet"):
        found = ladder.sql(f"SELECT author FROM elo JOIN '{name}' USING (agent) WHERE agent = 'ann'")
        assert found.fetchall() == [("me",)]


def test_errors_are_of_the_statement_that_was_given(ladder: pokeladder.Ladder) -> None:
    for sql in ("SELECT nothing FROM elo", "FROM elo;\nSELECT nothing FROM elo", "EXPLAIN SELECT nothing FROM elo"):
        with pytest.raises(QueryError) as caught:
            ladder.sql(sql)
        assert "EXPLAIN (FORMAT json)" not in str(caught.value)
    with pytest.raises(QueryError, match=r"LINE 1: SELECT nothing FROM elo\n {15}\^"):
        ladder.sql("SELECT nothing FROM elo")
    assert ladder.sql("SELECT $a + 1", {"a": 2}).fetchall() == [(3,)]


def test_no_connection_fetches_extensions(ladder: pokeladder.Ladder) -> None:
    values = [
        connection.sql(
            "SELECT current_setting('autoinstall_known_extensions'), current_setting('autoload_known_extensions')"
        )
        for connection in (connections.connect(), ladder)
    ]
    assert [value.fetchall() for value in values] == [[(False, False)]] * 2
    code = (path for path in Path(pokeladder.__file__).parent.rglob("*.py") if path.name != "connections.py")
    assert [path for path in code if "duckdb.connect(" in path.read_text(encoding="utf-8")] == []
    with pytest.raises(QueryError, match="httpfs"):
        ladder.sql("FROM 'https://127.0.0.1:9/x.csv'")
    with pytest.raises(QueryError, match="spatial"):
        ladder.sql("FROM st_read('x')")


def test_the_command(
    ladder: pokeladder.Ladder, inside: Path, cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    store = ("--store", str(ladder.store.folder))
    done = cli(*store, "sql", "COPY elo TO 'out.csv'")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: COPY writes, which is not allowed: add --write")
    done = cli(*store, "sql", "--write", "COPY elo TO 'out.csv'; FROM 'out.csv'", "--format", "json")
    assert {row["agent"] for row in json.loads(done.stdout)} == {"ann", "bob"}
