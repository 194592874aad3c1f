"""Training sets: the right trajectories, unchanged, under names that metamon reads, whole whatever happens."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import batch_files
import metamon_data as data
import pokeladder
from metamon_data import BASELINES, DATA, Document, rows, still, write
from pokeladder.errors import QueryError, StoreError, UsageError
from pokeladder.exchange.training_files import Target
from running import slowly

Cli = Callable[..., subprocess.CompletedProcess[str]]
PLAYERS = ["ann", "Gen1Binary_143052_A", "_b__ob_"]
ODD_AGENTS = ["random,name=a b/c_d", 'max-power,name="_vs_,é' + "x" * 80 + '"']


def made() -> dict[str, Document]:
    """Trajectories of every kind by the names of their files, no two of one battle."""
    luck, documents = random.Random(1), {}
    for number in range(80):
        battle_format = "gen2ou" if number % 5 == 0 else "gen1ou"
        result, steps = luck.choice(["WIN", "WIN", "LOSS", "TIE"]), luck.randint(5, 30)
        missing = luck.sample(range(steps), luck.choice([0, 0, 1, 2]))
        day, ending = 1 + number % 28, result.replace("TIE", "LOSS")
        name = f"{battle_format}-{number}_{1000 + number}_{PLAYERS[number % 3]}_vs_foe_01-{day:02d}-2026_{ending}"
        documents[name] = still(steps, result, missing, format=battle_format, weather=f"weather{number}")
    return documents


MADE = made()


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the made-up trajectories, taken in by two runs; tests only read it."""
    folder = tmp_path_factory.mktemp("shelf")
    ladder = pokeladder.open(folder / "ladder")
    for part in (0, 1):
        for name in list(MADE)[part::2]:
            write(folder / str(part), name, MADE[name])
        assert ladder.ingest(folder / str(part)).trajectories == 40
    return folder / "ladder"


@pytest.fixture(scope="module")
def shelved(shelf: Path) -> pokeladder.Ladder:
    return pokeladder.open(shelf)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of recorded battles of agents with awkward names."""
    folder = tmp_path_factory.mktemp("played") / "ladder"
    pokeladder.open(folder).tournament(ODD_AGENTS, battles_per_matchup=4)
    return folder


def exported_name(name: str) -> str:
    """What a file of the made-up ones is called after an export."""
    (player,) = (player for player in PLAYERS if f"_{player}_vs_foe_" in name)
    return name.replace(player, player.replace("_", "-"))


def files_in(folder: Path) -> dict[str, bytes]:
    """Documents by the names of their files, without suffix, all of which must be whole."""
    return {data.stem(path): data.content(path) for path in folder.glob("*/*.json.lz4")}


def stats_of(folder: Path) -> dict[str, Any]:
    stats: dict[str, Any] = json.loads((folder / "filtering_stats.json").read_text())
    return stats


def expected(selected: Callable[[str, Document], bool] = lambda _name, _document: True) -> dict[str, bytes]:
    chosen = {name: document for name, document in MADE.items() if data.old_rule(document) is None}
    return {exported_name(name): json.dumps(doc).encode() for name, doc in chosen.items() if selected(name, doc)}


def test_a_store_of_many_files_is_exported_whole(tmp_path: Path) -> None:
    batch_files.new_store(str(tmp_path / "ladder"), 200, size=1)
    ladder = pokeladder.open(tmp_path / "ladder")
    for to in get_args(Target):
        assert ladder.export_filtered(tmp_path / to, min_steps=0, to=to).output_count == 400
    assert len(files_in(tmp_path / "metamon")) == 400
    assert len(pq.read_table(tmp_path / "parquet" / "gen1ou" / "trajectories.parquet")) == 400


def test_lost_documents_are_reported(tmp_path: Path) -> None:
    store = batch_files.new_store(str(tmp_path / "ladder"), 4)
    (path, *_) = sorted((store.folder / "documents" / "run").iterdir())
    kept = pq.read_table(path).slice(1)
    path.unlink()
    # A document that is there twice does not replace the lost one.
    pq.write_table(pa.concat_tables([kept, kept.slice(0, 1)]), path)
    ladder = pokeladder.open(store.folder)
    with pytest.raises(StoreError, match="lacks documents of 1 selected trajectories"):
        ladder.export_filtered(tmp_path / "v0", min_steps=0)
    assert not stats_of(tmp_path / "v0")["complete"]
    ladder.check(repair=True)
    assert ladder.export_filtered(tmp_path / "v0", min_steps=0, overwrite=True).output_count == 7
    assert len(files_in(tmp_path / "v0")) == 7


def assert_no_scraps(folder: Path) -> None:
    assert list(folder.rglob(".*")) == []


REAL = [data.read(path) for path in data.trajectories_in(BASELINES)]
CUT = st.builds(
    lambda which, length, missing: (which, length, missing),
    st.integers(0, len(REAL) - 1),
    st.integers(2, 70),
    st.sets(st.integers(0, 69), max_size=4),
)


def cut(which: int, length: int, missing: set[int]) -> Document:
    """The beginning of a real trajectory, with actions taken away."""
    states = REAL[which]["states"][:length]
    actions = [-1 if step in missing else action for step, action in enumerate(REAL[which]["actions"])]
    return {"states": states, "actions": [*actions[: len(states) - 1], -1]}


@settings(max_examples=3)
@given(cuts=st.lists(CUT, min_size=1, max_size=40))
def test_the_selection_is_that_of_the_old_rule(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[tuple[int, int, set[int]]]
) -> None:
    folder = tmp_path_factory.mktemp("old")
    documents = {}
    for number, how in enumerate(cuts):
        document = {**cut(*how), "number": number}
        result = "WIN" if data.result_of(document) == "WIN" else "LOSS"
        documents[data.file_name("ann", "bob", result, number)] = document
    for name, document in documents.items():
        write(folder / "in", name, document)
    ladder = pokeladder.open(folder / "ladder")
    ladder.ingest(folder / "in")
    exported = ladder.export_filtered(folder / "out")
    assert set(files_in(folder / "out")) == {
        name for name, document in documents.items() if not data.old_rule(document)
    }
    reasons = Counter(filter(None, map(data.old_rule, documents.values())))
    assert exported.failed_reasons == stats_of(folder / "out")["failed_reasons"] == reasons


def test_the_limits_of_the_old_rule(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    lengths = [(9, 0), (10, 0), (10, 1), (15, 0), (19, 1), (20, 1), (20, 2), (40, 2), (60, 3), (1000, 50), (1001, 0)]
    for number, (steps, missing) in enumerate(lengths):
        write(tmp_path / "in", data.file_name("ann", "bob", number=number), still(steps, "WIN", range(missing)))
    ladder.ingest(tmp_path / "in")
    exported = ladder.export_filtered(tmp_path / "out")
    found = sorted(len(json.loads(text)["actions"]) - 1 for text in files_in(tmp_path / "out").values())
    assert found == [10, 15, 20, 40, 60, 1000]
    assert exported.failed_reasons == {"invalid_actions": 3, "too_long": 1, "too_short": 1}
    wide = ladder.export_filtered(None, min_steps=0, max_steps=5000, max_invalid_rate=1)
    assert wide.output_count == len(lengths)


def test_real_files_come_out_as_they_went_in(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    ladder.ingest(DATA)
    ladder.export_filtered(tmp_path / "out", min_steps=0, max_invalid_rate=1)
    originals = data.trajectories_in(DATA)
    assert files_in(tmp_path / "out") == {data.stem(path): data.content(path) for path in originals}
    assert {path.parent.name for path in (tmp_path / "out").glob("*/*")} == {"gen1ou"}


def test_recorded_battles_that_come_back_are_known(played: Path, tmp_path: Path) -> None:
    pokeladder.open(played).export_filtered(tmp_path / "out", min_steps=0, max_invalid_rate=1)
    files = sorted((tmp_path / "out").glob("*/*.json.lz4"))
    renamed = [tmp_path / path.name.replace("metamon-", "metamon-1-") for path in files]
    for path, copy in zip(files, renamed, strict=True):
        shutil.copy(path, copy)
    again = pokeladder.open(played).ingest(*files, *renamed)
    assert (again.battles, again.trajectories, again.already_there) == (0, 0, 16)
    other = pokeladder.open(tmp_path / "other")
    added = [other.ingest(*part) for part in (files[::2], renamed, files)]
    assert sum(part.trajectories for part in added) == len(files) == 8
    assert data.counts(other)[:3] == (4, 8, 8)


def test_balanced_sets_are_the_same_everywhere(shelved: pokeladder.Ladder, tmp_path: Path) -> None:
    for name, document in random.Random(2).sample([*MADE.items()], len(MADE)):
        write(tmp_path / "in", name, document)
    other = pokeladder.open(tmp_path / "other")
    other.ingest(*sorted((tmp_path / "in").iterdir(), reverse=True))
    balanced = shelved.export_filtered(tmp_path / "a", balance_outcomes=True)
    other.export_filtered(tmp_path / "b", balance_outcomes=True)
    shelved.export_filtered(tmp_path / "c", balance_outcomes=True, seed=43)
    sets = [files_in(tmp_path / name) for name in "abc"]
    results = Counter(data.result_of(document) for document in MADE.values() if data.old_rule(document) is None)
    fewer = min(results["WIN"], results["LOSS"])
    assert (balanced.wins, balanced.losses, balanced.ties) == (fewer, fewer, 0)
    assert balanced.removed == {"balance": sum(results.values()) - 2 * fewer}
    for files in sets:
        assert Counter(data.result_of(json.loads(text)) for text in files.values()) == {"WIN": fewer, "LOSS": fewer}
        assert files.items() <= expected().items()
    assert sets[0] == sets[1]
    assert sets[0] != sets[2]
    digests = [stats_of(tmp_path / name)["selection_digest"] for name in "abc"]
    assert digests[0] == digests[1] != digests[2]


OPTIONS: list[tuple[dict[str, Any], Callable[[str, Document], bool]]] = [
    ({}, lambda _name, _document: True),
    ({"min_steps": 15}, lambda _name, document: len(document["states"]) > 15),
    ({"max_steps": 15}, lambda _name, document: len(document["states"]) <= 16),
    ({"max_invalid_rate": 0}, lambda _name, document: -1 not in document["actions"][:-1]),
    ({"where": "rating > 1040 AND result = 'WIN' -- a remark"}, lambda name, document: (
        int(name.split("_")[1]) > 1040 and data.result_of(document) == "WIN"
    )),
    ({"agents": ["ann"]}, lambda name, _document: "_ann_vs" in name),
    ({"where": "agent NOT IN (SELECT agent FROM elo WHERE agent <> 'ann')"}, lambda name, _document: "_ann_vs" in name),
    ({"agents": ["ann", "Gen1Binary_143052_A"]}, lambda name, _document: "_b__ob_" not in name),
    ({"agents": ["' OR 1 = 1 --"]}, lambda _name, _document: False),
    ({"agents": []}, lambda _name, _document: False),
    ({"battle_format": "gen2ou"}, lambda name, _document: name.startswith("gen2ou")),
    ({"since": datetime(2026, 1, 15)}, lambda name, _document: int(name.split("-2026")[0][-2:]) >= 15),  # noqa: DTZ001
    ({"battle_format": "gen1ou", "where": "steps < 20"}, lambda name, document: (
        name.startswith("gen1ou") and len(document["states"]) <= 20
    )),
]  # fmt: skip


@pytest.mark.parametrize(("options", "selected"), OPTIONS, ids=[str(options) for options, _ in OPTIONS])
def test_options(
    shelved: pokeladder.Ladder, tmp_path: Path, options: dict[str, Any], selected: Callable[[str, Document], bool]
) -> None:
    exported = shelved.export_filtered(tmp_path / "out", **options)
    wanted = expected(selected)
    assert files_in(tmp_path / "out") == wanted
    assert exported.output_count == len(wanted)
    results = Counter(data.result_of(json.loads(text)) for text in wanted.values())
    assert (exported.wins, exported.losses, exported.ties) == (results["WIN"], results["LOSS"], results["TIE"])
    for path in (tmp_path / "out").glob("*/*"):
        assert path.parent.name == path.name.partition("-")[0]


def test_limits(shelved: pokeladder.Ladder, tmp_path: Path) -> None:
    shelved.export_filtered(tmp_path / "all", limit=7)
    shelved.export_filtered(tmp_path / "again", limit=7)
    balanced = shelved.export_filtered(tmp_path / "balanced", limit=7, balance_outcomes=True)
    assert len(files_in(tmp_path / "all")) == 7
    assert files_in(tmp_path / "all") == files_in(tmp_path / "again")
    assert files_in(tmp_path / "all").items() <= expected().items()
    assert (balanced.wins, balanced.losses, balanced.output_count) == (3, 3, 6)
    left_out = Counter(stats_of(tmp_path / "balanced")["removed"]).total()
    assert left_out == len(expected()) - 6
    assert shelved.export_filtered(None, limit=0).output_count == 0
    assert shelved.export_filtered(None, limit=999).output_count == len(expected())


def test_a_run(shelved: pokeladder.Ladder) -> None:
    runs = [run for (run,) in rows(shelved, "SELECT run_id FROM runs")]
    parts = [shelved.export_filtered(None, run=run) for run in runs]
    assert [part.input_count for part in parts] == [40, 40]
    assert sum(part.output_count for part in parts) == len(expected())


def test_a_dry_run_only_counts(cli: Cli, shelf: Path, tmp_path: Path) -> None:
    options = ["--agent", "ann", "--format", "gen1ou", "--since", "2026-01-05", "--where", "steps > 12", "--dry-run"]
    before = sorted(tmp_path.rglob("*"))
    shown = cli("--store", str(shelf), "export-filtered", "--output-dir", "out", *options)
    assert shown.returncode == 0, shown.stderr
    assert sorted(tmp_path.rglob("*")) == before
    scope = [document for name, document in MADE.items() if name.startswith("gen1ou") and "_ann_" in name
             and int(name.split("-2026")[0][-2:]) >= 5 and len(document["states"]) > 13]  # fmt: skip
    left = [document for document in scope if data.old_rule(document) is None]
    wins, losses, ties = (list(map(data.result_of, left)).count(result) for result in ("WIN", "LOSS", "TIE"))
    share = f"Selected {len(left)} of {len(scope)} trajectories ({len(left) / len(scope):.1%}): "
    assert shown.stdout.splitlines() == [
        f"{share}{wins:,} wins, {losses:,} losses, {ties:,} ties.",
        f"Failed: invalid_actions {len(scope) - len(left)}.",
    ]
    assert cli("--store", str(shelf), "export-filtered").returncode == 2


@pytest.mark.parametrize(
    "where",
    [
        "",
        "steps >",
        "true) OR (true",
        "true; DROP VIEW trajectories",
        "nothing = 1",
        "count(*) > 1",
        "steps > $1",
        "steps",
        "'x'",
        "NULL",
        "team",
        "CAST(agent AS INTEGER) > 1",
    ],
)
def test_a_bad_condition_is_refused(shelved: pokeladder.Ladder, where: str) -> None:
    with pytest.raises(QueryError) as caught:
        shelved.export_filtered(None, where=where)
    assert caught.value.statement == where


def test_a_bad_condition_is_shown(cli: Cli, shelf: Path, tmp_path: Path) -> None:
    failed = cli("--store", str(shelf), "export-filtered", "--output-dir", "out", "--where", "steps >")
    assert failed.returncode == 1
    assert failed.stderr.endswith("The statement was:\nsteps >\n")
    assert not (tmp_path / "out").exists()


def test_since_is_in_utc(shelf: Path) -> None:
    code = "import pokeladder, sys; from datetime import datetime; since = datetime.fromisoformat(sys.argv[2]); "
    code += "print(pokeladder.open(sys.argv[1]).export_filtered(None, since=since).input_count)"
    later = str(sum(int(name.split("-2026")[0][-2:]) >= 15 for name in MADE))
    for since in ("2026-01-15", "2026-01-15T00:00:00+00:00", "2026-01-14T22:00:00-02:00"):
        environment = {**os.environ, "TZ": "Asia/Tokyo"}
        shown = subprocess.run(
            [sys.executable, "-c", code, str(shelf), since],
            cwd=shelf,
            capture_output=True,
            text=True,
            env=environment,
        )
        assert shown.stdout.strip() == later, shown.stderr


NAME = st.text(min_size=1, max_size=80) | st.sampled_from(["_", "vs", "a b/c_d", "é", "_vs_", "..", "a_vs_b", "-"])
FILE_PART = st.text(st.characters(exclude_characters="_/\0", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1)
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001 - UTC without saying so


def named(ladder: pokeladder.Ladder, **values: Any) -> str:
    arguments = "$name, $id, $format, $rating, $agent, $opponent, $played_at::TIMESTAMP, $result"
    ((found,),) = rows(ladder, f"SELECT metamon_file_name({arguments})", **values)
    return f"{found}.json.lz4"


@settings(max_examples=40)
@given(
    agents=st.tuples(NAME, NAME),
    time=TIMES,
    result=st.sampled_from(["WIN", "LOSS", "TIE"]),
    rating=st.none() | st.just(9),
)
def test_both_readers_take_the_names_of_recorded_ones(
    shelved: pokeladder.Ladder, agents: tuple[str, str], time: datetime, result: str, rating: int | None
) -> None:
    values = {"id": "run-000001-p1", "rating": rating, "agent": agents[0], "opponent": agents[1], "played_at": time}
    name = named(shelved, name=None, format="gen9ou", result=result, **values)
    assert len(os.fsencode(name)) < 250
    assert "/" not in name
    assert data.old_reader(name, "gen9ou") == data.new_reader(name, "gen9ou")
    assert data.old_reader(name, "gen9ou")[2] == time.replace(microsecond=0)
    assert name.endswith(f"_{'WIN' if result == 'WIN' else 'LOSS'}.json.lz4")
    other = named(shelved, name=None, format="gen9ou", result=result, **{**values, "id": "run-000001-p2"})
    assert other != name


@settings(max_examples=40)
@given(
    record=st.sampled_from(
        ["metamon-gen1ou-0123456789", "gen1ou-12", "Gen1OU-12", "smogtours-gen1ou-7", "x-1", "[Gen 1] OU-1"]
    ),
    rating=st.sampled_from(["Unrated", "1500"]),
    players=st.tuples(FILE_PART, FILE_PART)
    | st.sampled_from([("a_b", "c"), ("_", "__"), ("a_vs_b", "c"), ("a", "_vs_")]),
    time=TIMES,
    won=st.booleans(),
)
def test_both_readers_take_the_names_of_files(
    shelved: pokeladder.Ladder, record: str, rating: str, players: tuple[str, str], time: datetime, won: bool
) -> None:
    date = f"{time:%m-%d-%Y-%H:%M:%S}" if record.startswith("metamon") else f"{time:%m-%d-%Y}"
    original = f"{record}_{rating}_{players[0]}_vs_{players[1]}_{date}_{'WIN' if won else 'LOSS'}"
    assume(len(os.fsencode(original)) < 230)
    values = {"id": original, "rating": None, "agent": players[0], "opponent": players[1], "played_at": time}
    name = named(shelved, name=original, format="gen1ou", result="WIN" if won else "LOSS", **values)
    assert data.old_reader(name, "gen1ou" if record != "Gen1OU-12" else "Gen1OU") == data.new_reader(name, "gen1ou")
    assert data.new_reader(name, "gen1ou")[2] - time < timedelta(days=1)
    if "_" not in "".join(players) and "gen1ou" in record:
        assert name == f"{original}.json.lz4"


def test_recorded_battles_come_back(played: Path, tmp_path: Path) -> None:
    ladder, again = pokeladder.open(played), pokeladder.open(tmp_path / "again")
    ladder.export_filtered(tmp_path / "out", min_steps=0, max_invalid_rate=1)
    files = list((tmp_path / "out" / "gen1ou").iterdir())
    assert len(files) == 8
    for path in files:
        assert data.old_reader(path.name, "gen1ou") == data.new_reader(path.name, "gen1ou")
    documents = rows(ladder, "SELECT document FROM documents")
    assert Counter(files_in(tmp_path / "out").values()) == Counter(document for (document,) in documents)
    added = again.ingest(tmp_path / "out")
    assert (added.battles, added.trajectories, added.half_known, added.broken) == (4, 8, 0, [])
    found = [
        rows(
            store,
            "SELECT digest, result, steps, missing_actions, unlisted_actions, team, lead, opponent_team, "
            "opponent_lead, round(final_hp, 4), pokemon_left, opponent_pokemon_left FROM trajectories ORDER BY digest",
        )
        for store in (ladder, again)
    ]
    assert found[0] == found[1]


def test_stats_and_digest(shelved: pokeladder.Ladder, tmp_path: Path) -> None:
    exported = shelved.export_filtered(tmp_path / "out", battle_format="gen1ou", balance_outcomes=True)
    stats = stats_of(tmp_path / "out")
    scope = [document for name, document in MADE.items() if name.startswith("gen1ou")]
    assert stats["input_dir"] == str(shelved.store.folder)
    assert stats["output_dir"] == str(tmp_path / "out")
    assert stats["input_count"] == len(scope)
    assert stats["output_count"] == len(files_in(tmp_path / "out")) == exported.output_count
    assert stats["filter_rate"] == stats["output_count"] / len(scope)
    old = {"max_invalid_rate": 0.05, "min_turns": 10, "max_turns": 1000, "balance_outcomes": True}
    assert {key: stats["filters"][key] for key in old} == old
    assert stats["failed_reasons"] == Counter(filter(None, map(data.old_rule, scope)))
    assert stats["complete"] is True
    lines = sorted(
        f"gen1ou/{name}.json.lz4 {hashlib.sha256(text).hexdigest()}"
        for name, text in files_in(tmp_path / "out").items()
    )
    assert stats["selection_digest"] == exported.digest == hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert "left_out" in stats["sql"]
    again = shelved.export_filtered(None, where="format = 'gen1ou'", balance_outcomes=True)
    assert again.digest == exported.digest
    nothing = shelved.export_filtered(tmp_path / "none", where="false")
    assert (nothing.output_count, stats_of(tmp_path / "none")["filter_rate"]) == (0, 0)


def test_a_folder_with_something_in_it(shelved: pokeladder.Ladder, tmp_path: Path) -> None:
    def export(player: str, **options: Any) -> set[str]:
        shelved.export_filtered(tmp_path / "out", agents=[player], **options)
        return set(files_in(tmp_path / "out"))

    one, two = (set(expected(lambda name, _, who=who: f"_{who}_vs_foe" in name)) for who in PLAYERS[:2])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"out is not empty: .* --overwrite, .* --append"):
        export(PLAYERS[0])
    assert export(PLAYERS[0], append=True) == one
    for refused in ({"player": PLAYERS[1]}, {"player": PLAYERS[0], "to": "parquet"}):
        with pytest.raises(UsageError, match="is not empty"):
            export(**refused)
    assert files_in(tmp_path / "out").keys() == one
    assert export(PLAYERS[0]) == one
    assert export(PLAYERS[1], append=True) == one | two
    assert export(PLAYERS[0], overwrite=True) == one
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


def test_refusals_are_a_line_and_a_status(cli: Cli, shelf: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    for name in ("full/notes.txt", "file"):
        (tmp_path / name).write_text("mine")
    for options, said in {
        ("full",): "Error: full is not empty",
        ("file",): "file",
        ("new", "--append", "--overwrite"): "Error: --overwrite and --append contradict each other",
    }.items():
        failed = cli("--store", str(shelf), "export-filtered", "--output-dir", *options)
        assert failed.returncode == 2
        assert failed.stderr.splitlines()[-1].startswith("Error: ")
        assert said in failed.stderr
    assert {path.name for path in tmp_path.rglob("*")} == {"full", "notes.txt", "file"}


@pytest.mark.parametrize("options", [[], ["--to", "parquet"], ["--overwrite"]], ids=["files", "parquet", "overwrite"])
@pytest.mark.parametrize("renames", [slowly(1), 3, -1])
def test_a_kill_leaves_whole_files(cli: Cli, shelf: Path, tmp_path: Path, options: list[str], renames: int) -> None:
    command = ["--store", str(shelf), "export-filtered", "--output-dir", "out", *options]
    wanted = expected()
    if options == ["--overwrite"]:
        pokeladder.open(shelf).export_filtered(tmp_path / "out", agents=["ann"])
    # One each for the statistics before and after, and what lies between.
    files = 2 if "parquet" in options else len(wanted)
    at = renames if renames > 0 else files + 2
    assert data.signalled(signal.SIGKILL, at, tmp_path, *command) == -signal.SIGKILL
    assert files_in(tmp_path / "out").items() <= wanted.items()
    there = tmp_path / "out" / "filtering_stats.json"
    # Until the new statistics are there, the earlier export is whole and says so.
    untouched = options == ["--overwrite"] and renames == 1
    assert untouched or not there.exists() or not stats_of(tmp_path / "out")["complete"]
    completed = cli(*command)
    assert completed.returncode == 0, completed.stderr
    assert stats_of(tmp_path / "out")["complete"]
    assert_no_scraps(tmp_path / "out")
    if "parquet" not in options:
        assert files_in(tmp_path / "out") == wanted
    else:
        assert table(tmp_path / "out").keys() == wanted.keys()


def test_ctrl_c_leaves_whole_files(cli: Cli, shelf: Path, tmp_path: Path) -> None:
    command = ["--store", str(shelf), "export-filtered", "--output-dir", "out"]
    assert data.signalled(signal.SIGINT, 20, tmp_path, *command) == 130
    assert_no_scraps(tmp_path / "out")
    assert files_in(tmp_path / "out").items() <= expected().items()
    assert stats_of(tmp_path / "out")["complete"] is False
    assert cli(*command).returncode == 0
    assert files_in(tmp_path / "out") == expected()


@pytest.mark.parametrize("to", ["metamon", "parquet"])
def test_a_full_disk(cli: Cli, ladder: pokeladder.Ladder, tmp_path: Path, to: str) -> None:
    for number in range(30):
        write(tmp_path / "in", data.file_name("ann", "bob", number=number), still(12, weather=f"weather{number}"))
    large = {**still(12), "unknown": random.Random(3).randbytes(200_000).hex()}
    write(tmp_path / "in", data.file_name("ann", "bob", number=15), large)
    ladder.ingest(tmp_path / "in")
    command = ["export-filtered", "--output-dir", "out", "--to", to]

    def fill() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    failed = cli(*command, preexec_fn=fill)
    assert failed.returncode == 1
    assert re.fullmatch(
        r"Error: cannot write to out: .*; remove the cause, and complete the set with the same command\n", failed.stderr
    )
    assert_no_scraps(tmp_path / "out")
    assert all(len(json.loads(text)["states"]) == 13 for text in files_in(tmp_path / "out").values())
    assert not stats_of(tmp_path / "out")["complete"]
    assert cli(*command).returncode == 0
    found = files_in(tmp_path / "out") if to == "metamon" else table(tmp_path / "out")
    assert found == {data.stem(path): data.content(path) for path in (tmp_path / "in").iterdir()}


def table(folder: Path) -> dict[str, bytes]:
    """Documents of an export to Parquet, by the names that their files would have."""
    read = [pq.read_table(path).to_pylist() for path in folder.glob("*/trajectories.parquet")]
    return {row["file_name"].removesuffix(".json.lz4"): row["document"].encode() for part in read for row in part}


def test_parquet_has_the_same_rows(shelved: pokeladder.Ladder, tmp_path: Path) -> None:
    shelved.export_filtered(tmp_path / "out", to="parquet")
    shelved.export_filtered(tmp_path / "files")
    assert {path.parent.name for path in (tmp_path / "out").glob("*/*")} == {"gen1ou", "gen2ou"}
    assert table(tmp_path / "out") == files_in(tmp_path / "files") == expected()
    assert stats_of(tmp_path / "out")["selection_digest"] == stats_of(tmp_path / "files")["selection_digest"]
    found = duckdb.sql(f"FROM '{tmp_path}/out/*/trajectories.parquet'")
    columns = shelved.sql("FROM trajectories").columns
    assert [column for column in found.columns if column in columns] == columns
    names = [name for name, document in MADE.items() if data.old_rule(document) is None]
    listed = ", ".join(columns)
    wanted = rows(shelved, f"SELECT {listed} FROM trajectories WHERE name IN $names ORDER BY name", names=names)
    assert found.order("name").project(listed).fetchall() == wanted


def test_lost_documents_are_named(ladder: pokeladder.Ladder, tmp_path: Path) -> None:
    write(tmp_path / "in", data.file_name("ann", "bob"), still(12))
    ladder.ingest(tmp_path / "in")
    (lost,) = (ladder.store.folder / "documents").glob("*/ingest-*.parquet")
    lost.unlink()
    with pytest.raises(StoreError, match=re.escape(str(lost))):
        ladder.export_filtered(tmp_path / "out")
    assert files_in(tmp_path / "out") == {}
    with pytest.raises(UsageError, match="choose one"):
        ladder.export_filtered(None, overwrite=True, append=True)


# All of the made-up trajectories pass.
LOOSE: dict[str, Any] = {"max_invalid_rate": 1.0, "min_steps": 1}


@pytest.mark.parametrize("to", ["metamon", "parquet"])
def test_what_is_added_is_balanced_with_what_is_there(shelved: pokeladder.Ladder, tmp_path: Path, to: Any) -> None:
    """The statistics are those of the whole set, which is the same as if it was written at once."""
    out, whole = tmp_path / "out", {"to": to, "balance_outcomes": True, **LOOSE}
    content = files_in if to == "metamon" else table
    first = shelved.export_filtered(out, where="result = 'WIN'", to=to, limit=5, **LOOSE)
    assert first.wins == first.output_count > 0
    there = content(out)
    found = shelved.export_filtered(out, append=True, **whole)
    assert there.items() <= content(out).items()
    assert found.there == first.output_count
    assert found.wins == found.losses > 0
    assert found.output_count == len(content(out)) == found.wins + found.losses
    stats = stats_of(out)
    assert stats["results"] == {"WIN": found.wins, "LOSS": found.losses, "TIE": 0}
    assert (stats["output_count"], stats["already_there"]) == (found.output_count, first.output_count)
    lines = sorted(
        f"{path.parent.name}/{path.name} {hashlib.sha256(data.content(path)).hexdigest()}"
        for path in out.glob("*/*.json.lz4")
    )
    if to == "metamon":
        assert stats["selection_digest"] == hashlib.sha256("\n".join(lines).encode()).hexdigest()
    again = shelved.export_filtered(out, append=True, **whole)
    assert (again.output_count, again.there, again.digest) == (found.output_count, found.output_count, found.digest)


def test_a_limit_is_of_what_is_added(shelved: pokeladder.Ladder, tmp_path: Path) -> None:
    for number in (1, 2):
        found = shelved.export_filtered(tmp_path / "out", balance_outcomes=True, limit=6, append=True, **LOOSE)
        assert (found.wins, found.losses, found.there) == (3 * number, 3 * number, 6 * (number - 1))
    assert len(files_in(tmp_path / "out")) == 12


def test_a_killed_addition_is_completed(cli: Cli, shelf: Path, tmp_path: Path) -> None:
    ladder = pokeladder.open(shelf)
    options: dict[str, Any] = {"balance_outcomes": True, "limit": 14, "append": True, **LOOSE}
    for name in ("out", "wanted"):
        ladder.export_filtered(tmp_path / name, where="result = 'WIN'", limit=4, **LOOSE)
    ladder.export_filtered(tmp_path / "wanted", **options)
    command = ["export-filtered", "--output-dir", "out", "--balance-outcomes", "--limit", "14", "--append"]
    command = ["--store", str(shelf), *command, "--max-invalid-rate", "1", "--min-turns", "1"]
    # Statistics, and some of the files.
    assert data.signalled(signal.SIGKILL, 8, tmp_path, *command) == -signal.SIGKILL
    assert 4 < len(files_in(tmp_path / "out")) < 18
    assert cli(*command).returncode == 0
    assert files_in(tmp_path / "out") == files_in(tmp_path / "wanted")
    digests = [stats_of(tmp_path / name)["selection_digest"] for name in ("out", "wanted")]
    assert digests[0] == digests[1]


def test_files_of_others_count_and_are_named(cli: Cli, shelf: Path, tmp_path: Path) -> None:
    stranger = data.file_name("zoe", "yan", result="LOSS")
    write(tmp_path / "out" / "gen1ou", stranger, still(12, "LOSS"))
    command = ["--store", str(shelf), "export-filtered", "--output-dir", "out", "--append", "--balance-outcomes"]
    done = cli(*command, "--limit", "5")
    assert done.returncode == 0, done.stderr
    assert "Selected 6 of 81 trajectories (7.4%): 3 wins, 3 losses, 0 ties." in done.stdout
    assert "1 of these were in out before, 1 of them not from this store." in done.stdout
    (tmp_path / "out" / "gen1ou" / "notes.json.lz4").write_bytes(b"mine")
    failed = cli(*command)
    assert failed.returncode == 2
    assert "notes.json.lz4" in failed.stderr
    refused = cli(*command, "--to", "parquet")
    assert (refused.returncode, "was not written with --to parquet" in refused.stderr) == (2, True)
