"""Stores of made-up battles, and the rows of questions about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from pokeladder.exchange import result_files
from pokeladder.query import statements, views
from pokeladder.store.files import Store
from pokeladder.store.rows import Battle, Run
from pokeladder.store.writer import BatchWriter

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
WINNERS = {1: "p1", 0.5: None, 0: "p2"}
# Two agents, the first one's score, and the pair that the battle belongs to.
Game = tuple[str, str, float, str | None]


def battle(number: int, p1: str, p2: str, winner: str | None, **changes: Any) -> Battle:
    """Battle ``number`` of the run ``run``; battles finish in the order of their numbers."""
    values: dict[str, Any] = {
        "battle_id": f"run-{number:06d}",
        "run_id": "run",
        "kind": "tournament",
        "format": "gen1ou",
        "venue": "embedded",
        "p1": p1,
        "p2": p2,
        "p1_team": "a",
        "p2_team": "b",
        "pair_id": None,
        "seed": "1,2,3,4",
        "winner": winner,
        "outcome": "win" if winner else "tie",
        "end_reason": "normal",
        "turns": 20,
        "p1_steps": 25,
        "p2_steps": 26,
        "p1_invalid": 0,
        "p2_invalid": 0,
        "p1_left": 1,
        "p2_left": 0,
        "started_at": START,
        "finished_at": START + timedelta(seconds=number),
        "showdown_version": "0.11.11",
        "game": number,
        "attempt": 0,
        "p1_packed": None,
        "p2_packed": None,
        "input_log": None,
        "batch": "",
    }
    return Battle(**{**values, **changes})


def run_of(run_id: str = "run", scheduled: int = 10) -> Run:
    return Run(run_id, "tournament", "gen1ou", "embedded", '{"seed": 0}', scheduled, START, "0.1.0", "0.11.11")


def fill(folder: Path, battles: Iterable[Battle], runs: Iterable[Run] = ()) -> Store:
    """A store with these battles, one file for each run that has any."""
    store = Store(folder)
    for run in runs:
        store.add_run(run)
    battles = list(battles)
    for run_id in sorted({battle.run_id for battle in battles}):
        BatchWriter(store, run_id).write([battle for battle in battles if battle.run_id == run_id])
    return store


def connect(store: Store, **slice_: Any) -> duckdb.DuckDBPyConnection:
    return views.connect(store.files, **slice_)


def rows(connection: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    relation = statements.run_sql(connection, sql)
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def elo_file(store: Store, name: str, folder: Path) -> Path:
    result_files.write_elo_files(connect(store, battle_format="gen1ou"), folder, "elo_results", 20, 1000)
    return folder / name


def played(games: Sequence[Game], **changes: Any) -> list[Battle]:
    return [
        battle(number, p1, p2, WINNERS[score], pair_id=pair, **changes)
        for number, (p1, p2, score, pair) in enumerate(games)
    ]


def asked(relation: duckdb.DuckDBPyRelation) -> list[dict[str, Any]]:
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
