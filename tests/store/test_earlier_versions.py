"""Stores that earlier versions left, with their answers: nothing that is stored breaks."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import pokeladder
from pokeladder.store.files import Store
from running import DATA


@dataclass(frozen=True)
class Earlier:
    """A store of an earlier version.

    Attributes:
        unfinished: id of a run of which ``stored`` of ``scheduled`` battles are there.
        battles: number of all battles.
        versions: whether agents had versions.
    """

    archive: str
    unfinished: str
    stored: int
    scheduled: int
    battles: int
    versions: bool


STORES = {
    "0.1.0": Earlier("store-0.1.0", "20261126-210018-a686", 29, 180, 52, versions=False),
    # The last one before the modules were put into packages.
    "versions": Earlier("store-versions", "20261127-222204-9ca7", 52, 300, 80, versions=True),
}


@pytest.fixture(params=STORES.values(), ids=STORES)
def earlier(request: pytest.FixtureRequest) -> Earlier:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def left(earlier: Earlier, tmp_path: Path) -> Path:
    """The folder with the store ``ladder`` and what was ``expected``."""
    with tarfile.open(DATA / f"{earlier.archive}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def said(left: Path, command: str) -> list[dict[str, str]]:
    return rows((left / "expected" / f"{command}.csv").read_text(encoding="utf-8"))


# Columns that have another name now, by command.
RENAMED = {
    ("ratings", "ladder"): "component",
    ("stats", "invalid"): "invalid_actions",
    ("matchups", "elo"): "elo_difference",
    ("matchups", "elo_error"): "elo_margin",
    **{(command, end): f"win_rate_{end}" for command in ("elo", "matchups", "stats") for end in ("low", "high")},
}


def test_questions_have_the_answers_that_they_had(left: Path, earlier: Earlier) -> None:
    ladder = pokeladder.open(left / "ladder")
    asked = {
        "ratings": ladder.ratings(),
        "elo": ladder.elo(),
        "matchups": ladder.matchups(),
        "stats": ladder.stats(),
    }
    for command, relation in asked.items():
        path = left / f"{command}.csv"
        relation.to_csv(str(path))
        now, then = rows(path.read_text(encoding="utf-8")), said(left, command)
        assert len(now) == len(then)
        for row, before in zip(now, then, strict=True):
            for old, value in before.items():
                column = RENAMED.get((command, old), old)
                close = pytest.approx(float(value), rel=1e-9) if _is_number(value) else value
                assert (float(row[column]) if _is_number(value) else row[column]) == close, (command, column)
    known = "SELECT DISTINCT p1_version IS NOT NULL FROM battles WHERE kind <> 'import'"
    assert ladder.sql(known).fetchall() == [(earlier.versions,)]
    assert bool(ladder.sql("FROM agent_versions").fetchall()) == earlier.versions
    assert not ladder.check().faults


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).replace("-", "", 1).replace("e", "", 1).isdecimal()


def test_an_export_comes_out_the_same(left: Path) -> None:
    exported = pokeladder.open(left / "ladder").export_filtered(left / "v0", balance_outcomes=True)
    assert exported.digest == (left / "expected" / "selection_digest.txt").read_text().strip()
    for line in (left / "expected" / "export.sha256").read_text().splitlines():
        digest, path = line.split()
        assert hashlib.sha256((left / "v0" / path).read_bytes()).hexdigest() == digest


def test_a_run_resumes_with_the_same_battles_beside_which_files_merge(left: Path, earlier: Earlier) -> None:
    ladder = pokeladder.open(left / "ladder")
    told: list[str] = []
    reached = ladder.tournament(resume=True, notify=told.append)
    assert (reached.run_id, reached.stored) == (earlier.unfinished, earlier.scheduled)
    assert f"Run {earlier.unfinished} has {earlier.stored} of {earlier.scheduled} battles." in told
    ladder.compact()
    assert {kind: len(ladder.store.files_of(kind, earlier.unfinished)) for kind in ("battles", "documents")} == {
        "battles": 1,
        "documents": 1,
    }
    now = ladder.sql(
        "SELECT game, p1, p2, p1_team, p2_team, seed, winner, turns, md5(input_log) AS played,"
        " p1_version IS NULL AS old"
        f" FROM battles JOIN input_logs USING (battle_id) WHERE battles.run_id = '{earlier.unfinished}' ORDER BY game"
    ).fetchall()
    then = [tuple(row.values()) for row in said(left, "resumed")]
    assert [tuple("" if value is None else str(value) for value in row[:-1]) for row in now] == then
    assert sum(row[-1] for row in now) == (0 if earlier.versions else earlier.stored)
    assert not ladder.check().faults


def test_a_store_that_cannot_be_written_is_read(left: Path, earlier: Earlier, monkeypatch: pytest.MonkeyPatch) -> None:
    """As before a version with more columns opened it."""
    folder = left / "ladder"
    there = _folders(folder)
    monkeypatch.setattr(Store, "_write_whole", _refuse)
    monkeypatch.setattr(Path, "mkdir", _refuse)
    ladder = pokeladder.open(folder)
    assert len(ladder.ratings().fetchall()) == len(said(left, "ratings"))
    assert ladder.sql("SELECT count(*) FROM battles").fetchall() == [(earlier.battles,)]
    assert _folders(folder) == there


def _folders(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_dir()}


def _refuse(*_arguments: object, **_settings: object) -> None:
    raise OSError(30, os.strerror(30))
