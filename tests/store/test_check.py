"""What is broken in a store is told, and set aside without anything else being lost."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

import batch_files
import pokeladder
from metamon_data import LADDER
from pokeladder.cli import app
from pokeladder.errors import StoreError
from pokeladder.store import merging
from pokeladder.store.examination import Checked
from pokeladder.store.files import Store
from running import slowly
from stores import run_of

Cli = Callable[..., subprocess.CompletedProcess[str]]
KINDS = {
    "battles": "FROM battles",
    "trajectories": "FROM trajectories",
    "documents": "SELECT step, action FROM steps",
    "server_battles": "FROM server_battles",
    "points": "FROM internal.perspective_files",
    "runs": "FROM runs",
    "merges": "FROM battles",
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Ten battles in five batches, and a run of its own for another two."""
    store = batch_files.new_store(tmp_path / "ladder", battles=10)
    store.add_run(run_of("other", 2))
    batch_files.add(store, "other", range(2))
    return store


def first(store: Store, kind: str) -> Path:
    folder = store.folder / kind
    if kind == "merges":
        return folder / "none.parquet"
    return folder / "run.parquet" if kind == "runs" else store.files_of(kind, "run")[0]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def rewrite(path: Path, sql: str) -> None:
    """Has a file hold something else, in its own columns."""
    schema = pq.read_schema(path)
    table = duckdb.sql(sql.format(path=path)).to_arrow_table().cast(schema)
    pq.write_table(table, path)


def faults(checked: Checked) -> list[tuple[str, str, int | None]]:
    return [(fault.kind, fault.reason, fault.rows) for fault in checked.faults]


def counts(checked: Checked) -> tuple[int, int, int, int]:
    return checked.battles, checked.trajectories, checked.documents, checked.runs


def repaired(store: Store) -> Checked:
    """What a repair says; after it nothing is wrong, and every question is answered."""
    ladder = pokeladder.open(store.folder)
    checked = ladder.check(repair=True)
    again = ladder.check()
    assert (again.faults, again.leftovers) == ([], [])
    for query in KINDS.values():
        ladder.sql(query).fetchall()
    ladder.export_filtered(store.folder.parent / "out", min_steps=1)
    return checked


def test_a_whole_store(store: Store, cli: Cli) -> None:
    shown = cli("check")
    assert (shown.returncode, shown.stderr) == (0, "")
    numbers = r"39 files \(\S+ MB\), 12 battles, 24 trajectories, 24 documents, 2 runs: nothing is broken\.\n"
    assert re.fullmatch(numbers, shown.stdout)
    assert cli("check", "--repair").stdout == shown.stdout
    assert not (store.folder / "set-aside").exists()


@pytest.mark.parametrize(
    ("kind", "left", "cost"),
    [
        ("battles", (10, 20, 20, 2), "has 8 of 10 battles: play them again with `pokeladder tournament --resume`"),
        ("trajectories", (12, 20, 20, 2), "2 battles of run run have no trajectories now"),
        ("documents", (12, 20, 20, 2), "2 battles of run run have no trajectories now"),
        slowly("server_battles", (12, 24, 24, 2), "the server's logs of 2 battles of run run are lost"),
        slowly(
            "points",
            (12, 24, 24, 2),
            "the names of 2 battles of run run are lost: their battle logs may be ingested twice",
        ),
        ("runs", (12, 24, 24, 1), "the settings of run run are lost: its 10 battles count"),
        ("merges", (12, 24, 24, 2), "lost: nothing"),
    ],
)
def test_a_file_cut_short(store: Store, cli: Cli, kind: str, left: tuple[int, ...], cost: str) -> None:
    broken = first(store, kind)
    cut(broken)
    relative = broken.relative_to(store.folder)
    failed = cli("sql", KINDS[kind])
    assert failed.returncode == 1
    assert re.fullmatch(rf"Error: .*{re.escape(str(broken))}'; .*`pokeladder check`.*\n", failed.stderr)
    if kind not in ("battles", "merges"):
        assert len(pokeladder.open(store.folder).elo().fetchall()) == 2, "other questions are answered"
    shown = cli("check")
    assert shown.returncode == 1
    assert f"broken: {relative}: it cannot be read, so that all queries about {kind} fail: " in shown.stdout
    assert "set them aside with `pokeladder check --repair`" in shown.stderr
    mended = cli("check", "--repair")
    assert mended.returncode == 0, mended.stderr
    assert cost in mended.stdout
    (kept,) = store.folder.glob(f"set-aside/*/{relative}")
    assert kept.stat().st_size > 0
    assert counts(pokeladder.open(store.folder).check()) == left
    repaired(store)


ASKING = {
    "battles": [
        "ratings",
        "ratings --excluding turns>30",
        "ratings --glicko",
        "elo",
        "elo --output-dir elo",
        "matchups",
        "stats",
        "report --output-dir report",
        "replay nothing",
        "export-filtered --output-dir set",
        "tournament --resume",
        f"ingest {LADDER}",
    ],
    "trajectories": ["export-filtered --output-dir set", f"ingest {LADDER}"],
    "documents": ["export-filtered --output-dir set"],
    "points": [f"ingest {LADDER}"],
    "runs": [f"ingest {LADDER}", "tournament --resume"],
}


@pytest.mark.parametrize(("kind", "command"), [(kind, command) for kind in ASKING for command in ASKING[kind]])
def test_a_file_cut_short_is_named_by_whoever_reads_it(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    kind: str,
    command: str,
) -> None:
    broken = first(store, kind)
    cut(broken)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["pokeladder", "--store", str(store.folder), *command.split()])
    assert app.run() == 1
    said = capfd.readouterr()
    assert re.fullmatch(rf"Error: .*{re.escape(str(broken))}'; .*`pokeladder check`.*\n", said.err)
    assert said.out == ""


def test_an_empty_file_that_cannot_be_read(store: Store) -> None:
    """Its columns are read directly if they are not known yet."""
    ladder = pokeladder.open(store.folder)
    assert ladder.elo().fetchall()
    empty = store.folder / "battles" / "none" / "none.parquet"
    empty.unlink()
    empty.mkdir()
    with pytest.raises(StoreError, match="find the fault with `pokeladder check`"):
        ladder.elo()


def test_damage_inside_of_a_file(store: Store) -> None:
    path = first(store, "documents")
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    (kind, reason, rows), lost = faults(repaired(store))
    assert (kind, rows) == ("documents", None)
    assert "CRC" in reason
    assert lost == ("trajectories", "its document is missing", 4)


def test_what_was_lost_is_played_again(ladder: pokeladder.Ladder, prompt: None) -> None:
    ladder.tournament(["random", "max-power"], battles_per_matchup=30)
    store = ladder.store
    ((run, batch, lost),) = ladder.sql(
        "SELECT run_id, batch, count(*) FROM battles GROUP BY ALL ORDER BY batch LIMIT 1"
    ).fetchall()
    assert 0 < lost <= 30
    cut(store.folder / "battles" / run / f"{batch}.parquet")
    with pytest.raises(StoreError, match="find the fault with `pokeladder check`"):
        pokeladder.open(store.folder).tournament(resume=True)
    assert [cost.split(" battles")[0] for cost in repaired(store).costs] == [f"run {run} has {30 - lost} of 30"]
    reached = pokeladder.open(store.folder).tournament(resume=True)
    assert (reached.run_id, reached.played, reached.stored) == (run, lost, 30)
    assert counts(pokeladder.open(store.folder).check()) == (30, 60, 60, 1)


def test_rows_that_are_at_fault(store: Store) -> None:
    shutil.copy(first(store, "battles"), first(store, "battles").with_name("copy.parquet"))
    last = store.files_of("documents", "run")[-1]
    rewrite(
        store.folder / "battles" / "run" / last.name, "SELECT * REPLACE (if(game = 9, 99, game) AS game) FROM '{path}'"
    )
    rewrite(last, "FROM '{path}' WHERE trajectory_id <> 'run-000008-p1'")
    changed = "if(trajectory_id = 'run-000004-p2', 'x'::BLOB, document) AS document"
    rewrite(store.files_of("documents", "run")[2], f"SELECT * REPLACE ({changed}) FROM '{{path}}'")
    checked = repaired(store)
    assert sorted(faults(checked)) == [
        ("battles", "its game has another battle that counts", 2),
        ("battles", "its run has no such game", 1),
        ("battles", "the battle is in the store already", 2),
        ("documents", "it differs from the digest of its trajectory", 1),
        ("trajectories", "its document has changed", 1),
        ("trajectories", "its document is missing", 1),
    ]
    assert checked.costs[0].startswith("run run has 9 of 10 battles: play them again")
    found = pokeladder.open(store.folder).sql("SELECT trajectory_id FROM trajectories WHERE run_id = 'run'").fetchall()
    gone = {"run-000008-p1", "run-000004-p2", "run-000009-p1", "run-000009-p2"}
    assert {row[0] for row in found} == {f"run-{game:06d}-p{side}" for game in range(10) for side in (1, 2)} - gone


def test_what_a_killed_process_leaves_is_no_fault(store: Store, cli: Cli) -> None:
    for path in (store.files_of("battles", "run")[0], store.files_of("server_battles", "other")[0]):
        path.unlink()
    (store.folder / "unfinished" / "battles.run.x.parquet.tmp").write_bytes(b"half")
    with store.lock_run("run"):
        shown = cli("check")
        assert (shown.returncode, "note" in shown.stdout) == (0, False), "what is being written is not left over"
        assert cli("check", "--repair").stdout.endswith(
            "skipped: run run, which another process is playing: repair it when that has ended\n"
        )
    shown = cli("check")
    assert shown.returncode == 0
    assert "note: 5 files or parts of them belong to no battle" in shown.stdout
    leftovers = repaired(store).leftovers
    assert {fault.kind for fault in leftovers} == {
        "trajectories",
        "documents",
        "points",
        "server_battles",
        "unfinished",
    }


def test_a_run_that_is_played_is_left_alone(store: Store, cli: Cli) -> None:
    cut(first(store, "battles"))
    cut(store.files_of("documents", "other")[0])
    with store.lock_run("run"):
        shown = cli("check", "--repair")
        assert shown.returncode == 1
        assert "skipped: run run" in shown.stdout
        assert "1 file broken, as listed above: repair again when that has ended" in shown.stderr
        assert first(store, "battles").exists()
    assert len(repaired(store).faults) == 1


def test_a_broken_merged_file_gives_way_to_those_it_was_made_of(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "SETTLE_SECONDS", 0.0)
    pokeladder.open(store.folder).compact()
    for kind in ("battles", "documents"):
        (merged,) = store.files_of(kind, "run")
        cut(merged)
    checked = repaired(store)
    assert len(checked.faults) == 6
    assert checked.costs == []
    assert counts(pokeladder.open(store.folder).check()) == (12, 24, 24, 2)
    # What is left of the compaction goes its way, and the next one merges them again.
    for _ in range(5):
        pokeladder.open(store.folder).compact(grace=0)
    assert len(store.files_of("battles", "run")) == 1
    assert counts(pokeladder.open(store.folder).check()) == (12, 24, 24, 2)


def test_a_file_of_others(store: Store, cli: Cli) -> None:
    for name in (".DS_Store", "run/notes.txt"):
        path = store.folder / "battles" / name
        path.write_text("not ours")
        for command in (["elo"], ["sql", "SELECT count(*) FROM battles"]):
            told = cli(*command)
            assert told.returncode == 1
            assert re.fullmatch(f"Error: [^\n]*{name}[^\n]* find the fault with `pokeladder check`\n", told.stderr)
        assert "note:" not in cli("check").stdout
        path.unlink()
    for name in (".DS_Store", "run/notes.txt"):
        (store.folder / "battles" / name).write_text("not ours")
    checked = repaired(store)
    assert [(fault.file, fault.reason) for fault in checked.faults] == [
        ("battles/.DS_Store", "it is not a file of a store"),
        ("battles/run/notes.txt", "it is not a file of a store"),
    ]


def test_nothing_can_be_set_aside(store: Store, cli: Cli) -> None:
    cut(first(store, "battles"))
    (store.folder / "set-aside").write_text("in the way")
    failed = cli("check", "--repair")
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"Error: cannot set files aside in {store.folder}: ")
    assert first(store, "battles").exists()


def test_a_store_that_cannot_be_written(store: Store, cli: Cli) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    cut(first(store, "battles"))
    folders = [store.folder, *(path for path in store.folder.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o500)
    try:
        assert "broken: battles/run/" in cli("check").stdout
        for command in (["check", "--repair"], ["compact"]):
            failed = cli(*command)
            assert (failed.returncode, failed.stderr[:14]) == (1, "Error: cannot ")
    finally:
        for path in folders:
            path.chmod(0o700)
