"""Small files are merged while others read, and nobody sees a battle twice or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock

import duckdb
import pyarrow.parquet as pq
import pytest

import batch_files
import bots
import pokeladder
from pokeladder import Agent
from pokeladder.errors import StoreError
from pokeladder.store import background_compaction, compaction, merging
from pokeladder.store.files import Store
from pokeladder.store.rows import FOLDERS
from running import slowly, wait_until
from stores import run_of

Cli = Callable[..., subprocess.CompletedProcess[str]]
ANSWERS = {
    "battles": "FROM battles ORDER BY battle_id",
    "logs": "FROM input_logs ORDER BY battle_id",
    "said": "FROM server_battles ORDER BY battle_id",
    "runs": "FROM runs",
    "trajectories": "FROM trajectories ORDER BY trajectory_id",
    "steps": "SELECT trajectory_id, step, action FROM steps ORDER BY ALL",
    "points": "SELECT * EXCLUDE (filename) FROM internal.perspective_files ORDER BY point",
}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "SETTLE_SECONDS", 0.1)


def settled_by(monkeypatch: pytest.MonkeyPatch, queries_are_over: Callable[[], None]) -> None:
    """A compaction waits until all queries are over that began before, instead of a time that is enough for them."""
    monkeypatch.setattr(compaction, "settle", lambda _: queries_are_over())
    monkeypatch.setattr(merging, "SETTLE_SECONDS", 0.0)


def answers(source: duckdb.DuckDBPyConnection | pokeladder.Ladder) -> dict[str, list[tuple]]:
    return {name: source.sql(query).fetchall() for name, query in ANSWERS.items()}


def files(store: Store, run_id: str = "run") -> dict[str, int]:
    return {kind: len(store.files_of(kind, run_id)) for kind in FOLDERS}


def test_merging_changes_no_answer(tmp_path: Path) -> None:
    store = batch_files.new_store(tmp_path / "ladder", battles=20)
    ladder = pokeladder.open(store.folder)
    before = answers(ladder)
    assert len(before["steps"]) == 20 * 2 * 3
    exported = ladder.export_filtered(tmp_path / "before", min_steps=1)
    with duckdb.connect(store.database, read_only=True) as client:
        for merged, removed in ((50, 0), (0, 50), (0, 0), (0, 0)):
            done = ladder.compact(grace=0)
            assert (done.merged, done.made, done.removed) == (merged, 5 if merged else 0, removed)
            assert files(store) == dict.fromkeys(FOLDERS, 1)
            assert answers(ladder) == answers(client) == answers(pokeladder.open(store.folder)) == before
            time.sleep(0.1)
    assert [path.name for path in store.folder.glob("merge[sd]/*")] == ["none.parquet"]
    assert ladder.export_filtered(tmp_path / "after", min_steps=1) == exported
    assert len(list((tmp_path / "after" / "gen1ou").iterdir())) == 40
    stats = [(tmp_path / name / "filtering_stats.json").read_text() for name in ("before", "after")]
    assert stats[0].replace("before", "after") == stats[1]


def test_old_files_stay_for_queries_that_are_under_way(tmp_path: Path, cli: Cli) -> None:
    store = batch_files.new_store(tmp_path / "ladder", battles=6)
    first = cli("compact")
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("Merged 15 files into 5.\n15 old files (")
    assert "run the same command after 10 minutes to remove them" in first.stdout
    assert "15 old files" in cli("compact").stdout
    _, found = store.files["battle_files"]
    listed = duckdb.sql(f"FROM glob('{found}')").fetchall()
    assert len(listed) == 2, "the merged file and the empty one, and no link"
    old = [path for path in (store.folder / "battles" / "run").iterdir() if path.is_symlink()]
    assert [pq.read_metadata(path).num_rows for path in old] == [2, 2, 2]
    assert cli("compact", "--grace", "0").stdout == "Removed 15 files that were merged before.\n"
    assert cli("compact").stdout == "There is nothing to merge.\n"
    assert files(store) == dict.fromkeys(FOLDERS, 1)


def test_large_files_are_left_and_few_are_not_worth_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = batch_files.new_store(tmp_path / "ladder", battles=12)
    monkeypatch.setattr(merging, "LARGE_BYTES", max(p.stat().st_size for p in store.folder.glob("[bdpst]*/run/*")))
    with store.lock_run("run"):
        assert compaction.compact(store, "run", at_least=7).merged < 30
        monkeypatch.setattr(merging, "LARGE_BYTES", 1)
        assert compaction.compact(store, "run").merged == 0
    assert pokeladder.open(store.folder).check().battles == 12


READER = """
import os, sys, duckdb
counts = "SELECT count(*), count(DISTINCT battle_id) FROM battles"
joined = (
    "SELECT count(*), count(DISTINCT trajectory_id), count(DISTINCT battle_id), sum(octet_length(document))"
    " FROM battles JOIN trajectories USING (battle_id) JOIN documents USING (document_file, trajectory_id)"
)
connection = duckdb.connect(sys.argv[1], read_only=True)
reads = 0
while True:
    found = connection.sql(counts).fetchall() + connection.sql(joined).fetchall()
    assert found == [(60, 60), (120, 120, 60, int(sys.argv[2]))], found
    reads += 1
    os.pwrite(1, b"%12d" % reads, 0)
"""


def test_readers_see_every_battle_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = batch_files.new_store(tmp_path / "ladder", battles=60)
    ladder = pokeladder.open(store.folder)
    command = [sys.executable, "-c", READER, str(store.database), str(120 * len(batch_files.document(3)))]
    counted = tmp_path / "reads"
    with (
        counted.open("w") as output,
        subprocess.Popen(command, stdout=output, stderr=subprocess.PIPE, text=True) as reader,
    ):

        def reads() -> int:
            assert reader.poll() is None, reader.communicate()
            return int(counted.read_text() or 0)

        def read_anew() -> None:
            """Waits until the reader has ended what it reads now, and read everything once more."""
            before = reads()
            wait_until(lambda: reads() >= before + 2)

        settled_by(monkeypatch, read_anew)
        try:
            read_anew()
            # Each time fewer and larger files.
            for large in (30_000, 60_000, 120_000, 1 << 20):
                monkeypatch.setattr(merging, "LARGE_BYTES", large)
                ladder.compact(grace=3600)
            while sum(files(store).values()) > 5:
                read_anew()
                ladder.compact(grace=0)
            read_anew()
        finally:
            reader.kill()
    assert ladder.check().faults == []


KILLED = """
import os, signal, sys
from pathlib import Path
import pokeladder
from pokeladder.store import background_compaction, merging

def killing(function):
    def wrapper(path, *arguments, **options):
        left[function.__name__] = left.get(function.__name__, 0) - 1
        if left[function.__name__] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(path, *arguments, **options)
    return wrapper

left = {sys.argv[1]: int(sys.argv[2])}
merging.SETTLE_SECONDS = 0.1
Path.rename, Path.unlink = killing(Path.rename), killing(Path.unlink)
ladder = pokeladder.open("ladder")
while True:
    ladder.compact(grace=0)
"""


@pytest.mark.parametrize(
    "at",
    [
        slowly(("rename", 1)),
        slowly(("rename", 2)),
        ("rename", 4),
        slowly(("rename", 7)),
        slowly(("rename", 9)),
        ("unlink", 1),
        slowly(("unlink", 40)),
    ],
)
def test_killed_at_any_moment(tmp_path: Path, at: tuple[str, int]) -> None:
    store = batch_files.new_store(tmp_path / "ladder", battles=10)
    ladder = pokeladder.open(store.folder)
    before = answers(ladder)
    killed = subprocess.run([sys.executable, "-c", KILLED, at[0], str(at[1])], cwd=tmp_path)
    assert killed.returncode == -signal.SIGKILL
    checked = ladder.check()
    assert (checked.battles, checked.trajectories, checked.documents) == (10, 20, 20)
    assert checked.faults == []
    assert answers(ladder) == before
    for _ in range(6):
        ladder.compact(grace=0)
        time.sleep(0.1)
        assert answers(ladder) == before
    assert files(store) == dict.fromkeys(FOLDERS, 1)
    assert not [*store.folder.rglob("*.tmp"), *store.folder.glob("merge[sd]/run.*")]


def test_a_run_that_is_played_is_left_to_who_plays_it(tmp_path: Path, cli: Cli) -> None:
    store = batch_files.new_store(tmp_path / "ladder", battles=4)
    with store.lock_run("run"):
        assert cli("compact").stdout == "There is nothing to merge.\nskipped: run run: another process is playing it\n"
        compaction.compact(store, "run")
        batch_files.add(store, "run", [4])
        assert pokeladder.open(store.folder).sql("SELECT count(*) FROM battles").fetchall() == [(5,)]
        compaction.compact(store, "run", grace=0)
    assert pokeladder.open(store.folder).sql("SELECT count(*) FROM trajectories").fetchall() == [(10,)]


def test_what_is_taken_in_meanwhile_is_left_alone(tmp_path: Path) -> None:
    store = batch_files.new_store(tmp_path / "ladder", battles=4)
    for path in store.files_of("documents", "run"):
        path.rename(path.with_name(f"ingest-{path.name}"))
    ladder = pokeladder.open(store.folder)
    lock = store.lock_ingest()
    with lock:
        assert ladder.compact().skipped == {"run": "another process is ingesting"}
    lock.release()
    assert ladder.compact().merged == 10


def test_a_broken_file_keeps_its_run_as_it_was(tmp_path: Path, cli: Cli) -> None:
    store = batch_files.new_store(tmp_path / "ladder", battles=4)
    store.add_run(run_of("other", 4))
    batch_files.add(store, "other", range(4))
    broken = store.files_of("documents", "other")[0]
    broken.write_bytes(broken.read_bytes()[:100])
    failed = cli("compact")
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"Error: cannot read {broken}: ")
    assert "Merged 10 files into 5." in failed.stdout
    assert files(store, "other") == dict.fromkeys(FOLDERS, 2)
    assert not [*store.folder.rglob("*.tmp")]


def test_a_store_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = batch_files.new_store(tmp_path / "ladder", battles=4)
    (store.folder / "logs").rename(tmp_path / "logs")
    (store.folder / "logs").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot write .* no stored battle is lost"):
        compaction.compact_all(store)


@pytest.mark.usefixtures("prompt")
def test_a_run_merges_its_files_while_it_is_played(
    ladder: pokeladder.Ladder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_compaction, "FILES", 3)
    monkeypatch.setattr(background_compaction, "LOOK_SECONDS", 0.0)
    querying = Lock()

    def query_is_over() -> None:
        with querying:
            pass

    settled_by(monkeypatch, query_is_over)
    counts: list[int] = []
    # No battle is over long before those before it are stored, so that they are stored a few at a time.
    limit = tmp_path / "limit"
    limit.write_text("8")

    def watch(progress: pokeladder.Progress) -> None:
        with querying:
            ((count, games),) = ladder.sql("SELECT count(*), count(DISTINCT game) FROM battles").fetchall()
        assert count == games == progress.stored
        counts.append(count)
        limit.write_text(f"{count + 8}")

    heard: list[str] = []
    waits = Agent("waits", bots.Waits, {"folder": str(tmp_path)})
    reached = ladder.selfplay(
        waits,
        "max-power",
        num_battles=60,
        parallel_instances=4,
        workers=1,
        seed=0,
        turn_timeout=3600,
        watch=watch,
        notify=heard.append,
    )
    assert (reached.stored, heard) == (60, [])
    assert len(set(counts)) > 5
    assert list((ladder.store.folder / "merges").glob("*.parquet"))
    assert ladder.sql("SELECT count(*) FROM trajectories").fetchall() == [(120,)]
    assert ladder.sql("SELECT count(*) FROM steps").fetchall()[0][0] > 0
    assert not ladder.check().faults


def test_what_earlier_runs_have_left_is_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In steps, each as soon as no query can miss a battle or see one twice; a run that ends does not wait for them."""
    store = batch_files.new_store(tmp_path / "ladder", battles=8)
    ladder = pokeladder.open(store.folder)
    before = answers(ladder)
    monkeypatch.setattr(merging, "SETTLE_SECONDS", 3600.0)
    heard: list[str] = []
    for _ in range(2):
        compactor = background_compaction.BackgroundCompactor(store, "next", heard.append)
        compactor.begin()
        until(lambda: files(store) == dict.fromkeys(FOLDERS, 5))
        compactor.close()
        assert answers(ladder) == before
    monkeypatch.setattr(merging, "SETTLE_SECONDS", 0.0)
    stop = threading.Event()
    compaction.merge_earlier(store, "next", stop)
    assert files(store) == dict.fromkeys(FOLDERS, 1)
    assert answers(ladder) == before
    monkeypatch.setattr(compaction, "GRACE_SECONDS", 0.0)
    for _ in range(4):
        compaction.merge_earlier(store, "next", stop)
    assert [path.name for path in store.folder.glob("merge[sd]/*")] == ["none.parquet"]
    assert (answers(ladder), heard, ladder.check().faults) == (before, [], [])


def until(happened: Callable[[], bool]) -> None:
    while not happened():
        time.sleep(0.01)


def test_what_others_play_or_are_to_play_is_left_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "SETTLE_SECONDS", 0.0)
    store = batch_files.new_store(tmp_path / "ladder", battles=4)
    with store.lock_run("run"):
        compaction.merge_earlier(store, "next", threading.Event())
        assert files(store) == dict.fromkeys(FOLDERS, 2)
    with store.lock_run("run"):
        compaction.merge_earlier(store, "run", threading.Event())
        assert files(store) == dict.fromkeys(FOLDERS, 2)


MANY = "import sys; from pokeladder.cli import main, options; options.MANY_FILES = 3; main()"


def test_many_files_are_said_once(tmp_path: Path) -> None:
    ladder = pokeladder.open(batch_files.new_store(tmp_path / "ladder", battles=8).folder)

    def asked(command: str) -> str:
        line = [sys.executable, "-c", MANY, command]
        return subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=True).stderr

    said = asked("ratings")
    assert said.count("3 more small files than needed") == said.count("merge them with `pokeladder compact`") == 1
    ladder.compact()
    assert "compact" not in asked("ratings")


def test_a_run_that_leaves_many_files_merges_them_at_its_end(tmp_path: Path) -> None:
    few = batch_files.new_store(tmp_path / "few", battles=2 * background_compaction.FILES_AT_THE_END - 2)
    many = batch_files.new_store(tmp_path / "many", battles=2 * background_compaction.FILES_AT_THE_END)
    for store, left in ((few, background_compaction.FILES_AT_THE_END - 1), (many, 1)):
        compactor = background_compaction.BackgroundCompactor(store, "run", pytest.fail)
        compactor.finish()
        compactor.close()
        assert files(store)["battles"] == left
    ladder = pokeladder.open(many.folder)
    assert ladder.sql("SELECT count(*) FROM battles").fetchall() == [(64,)]
    assert not ladder.check().faults
