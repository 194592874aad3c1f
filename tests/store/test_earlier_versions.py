"""A store that pokeladder 0.1.0 left, with what it said of it: nothing that is stored breaks."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

import pokeladder
from pokeladder.store.files import Store
from pokeladder.store.schemas import FOLDERS
from running import DATA

UNFINISHED = "20261126-210018-a686"


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """The folder with the store ``ladder`` and what was ``expected``."""
    with tarfile.open(DATA / "store-0.1.0.tar.gz") as archive:
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


def test_questions_have_the_answers_that_they_had(left: Path) -> None:
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
    assert ladder.sql("SELECT count(*) FROM battles WHERE p1_version IS NOT NULL").fetchall() == [(0,)]
    assert ladder.sql("FROM agent_versions").fetchall() == []
    assert not ladder.check().faults


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).replace("-", "", 1).replace("e", "", 1).isdecimal()


def test_an_export_comes_out_the_same(left: Path) -> None:
    exported = pokeladder.open(left / "ladder").export_filtered(left / "v0", balance_outcomes=True)
    assert exported.digest == (left / "expected" / "selection_digest.txt").read_text().strip()
    for line in (left / "expected" / "export.sha256").read_text().splitlines():
        digest, path = line.split()
        assert hashlib.sha256((left / "v0" / path).read_bytes()).hexdigest() == digest


def test_a_run_resumes_with_the_same_battles_beside_which_files_merge(left: Path) -> None:
    ladder = pokeladder.open(left / "ladder")
    told: list[str] = []
    reached = ladder.tournament(resume=True, notify=told.append)
    assert (reached.run_id, reached.stored) == (UNFINISHED, 180)
    assert f"Run {UNFINISHED} has 29 of 180 battles." in told
    ladder.compact()
    assert {kind: len(ladder.store.files_of(kind, UNFINISHED)) for kind in ("battles", "documents")} == {
        "battles": 1,
        "documents": 1,
    }
    now = ladder.sql(
        "SELECT game, p1, p2, p1_team, p2_team, seed, winner, turns, md5(input_log) AS played,"
        " p1_version IS NULL AS old"
        f" FROM battles JOIN input_logs USING (battle_id) WHERE battles.run_id = '{UNFINISHED}' ORDER BY game"
    ).fetchall()
    then = [tuple(row.values()) for row in said(left, "resumed")]
    assert [tuple("" if value is None else str(value) for value in row[:-1]) for row in now] == then
    assert sum(row[-1] for row in now) == 29
    assert not ladder.check().faults


def test_a_store_that_cannot_be_written_is_read(left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As before it was ever opened by a version with more columns."""
    folder = left / "ladder"
    monkeypatch.setattr(Store, "_write_whole", _refuse)
    monkeypatch.setattr(Path, "mkdir", _refuse)
    ladder = pokeladder.open(folder)
    assert len(ladder.ratings().fetchall()) == len(said(left, "ratings"))
    assert ladder.sql("SELECT count(*) FROM battles WHERE p1_version IS NULL").fetchall() == [(52,)]
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == sorted(
        [*FOLDERS, "logs", "merges", "runs", "unfinished"]
    )


def _refuse(*_arguments: object, **_settings: object) -> None:
    raise OSError(30, os.strerror(30))
