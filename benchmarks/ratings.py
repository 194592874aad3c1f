"""Ratings of a million battles and the matchups of ten million, end to end from Parquet, beside evalica.

Each figure but the last is that of a process of its own, imports and reading of the file included; the best of a few.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb

import pokeladder
from pokeladder.store.rows import Run
from pokeladder.store.schemas import BATTLE_SCHEMA

# Mirrored pairs, as tournaments make them; agents are 40 points apart, one battle in fifty is a tie.
BATTLES = """
SELECT
    printf('run-%09d', number) AS battle_id,
    'run' AS run_id,
    'import' AS kind,
    'gen1ou' AS format,
    'embedded' AS venue,
    printf('agent-%d', if(number % 2 = 0, first, second)) AS p1,
    printf('agent-%d', if(number % 2 = 0, second, first)) AS p2,
    printf('run-pair%09d', number // 2) AS pair_id,
    CASE WHEN luck < 0.02 THEN NULL WHEN luck - 0.02 < 0.98 / (1 + pow(10, gap / 10)) THEN 'p1' ELSE 'p2' END AS winner,
    if(luck < 0.02, 'tie', 'win') AS outcome,
    'normal' AS end_reason,
    30 AS turns,
    make_timestamptz(1767225600000000 + number) AS finished_at,
    'batch' AS batch
FROM (
    SELECT *, if(number % 2 = 0, 1, -1) * (first - second) AS gap, random() AS luck
    FROM (
        SELECT
            number,
            number // 2 % 10 AS first,
            (number // 2 % 10 + 1 + number // 20 % 9) % 10 AS second
        FROM range({battles}) AS numbers (number)
    )
)
"""

EVALICA = """
import pandas as pd
import evalica
battles = pd.read_parquet({file!r}, columns=["p1", "p2", "winner"])
named = {{"p1": evalica.Winner.X, "p2": evalica.Winner.Y}}
winners = [named.get(winner, evalica.Winner.Draw) for winner in battles.winner]
print({call})
"""


def fill(folder: Path, battles: int) -> Path:
    """A store of this many battles in one file; that file."""
    ladder = pokeladder.open(folder)
    started = datetime(2026, 1, 1, tzinfo=UTC)
    ladder.store.add_run(Run("run", "import", "gen1ou", "embedded", "{}", battles, started, "0", "0"))
    path = ladder.store.path("battles", "run", "batch")
    with duckdb.connect() as connection:
        connection.execute("SELECT setseed(0.5)")
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("empty", BATTLE_SCHEMA.empty_table())
        made = f"FROM empty UNION ALL BY NAME {BATTLES.format(battles=battles)}"
        connection.execute(f"COPY ({made}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
    return path


def best(rounds: int, action: Callable[[], object]) -> float:
    found = []
    for _ in range(rounds):
        started = time.perf_counter()
        action()
        found.append(time.perf_counter() - started)
    return min(found)


def process(rounds: int, *command: str) -> float:
    return best(rounds, lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--battles", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        file = fill(work / "ladder", options.battles)
        asked = [str(Path(sys.executable).with_name("pokeladder")), "--store", str(work / "ladder"), "sql"]

        def peer(call: str) -> float:
            return process(options.rounds, sys.executable, "-c", EVALICA.format(file=str(file), call=call))

        elo = process(options.rounds, *asked, "--format", "parquet", "FROM elo_progression")
        ratings = process(options.rounds, *asked, "FROM ratings")
        peer_elo = peer("evalica.elo(battles.p1, battles.p2, winners, initial=1500, k=32).scores")
        peer_ratings = peer("evalica.bradley_terry(battles.p1, battles.p2, winners).scores")
        print(f"{options.battles} battles of 10 agents")
        for what, own, other in (
            ("Elo; with every battle's ratings here", elo, peer_elo),
            ("Bradley-Terry; with intervals here", ratings, peer_ratings),
        ):
            print(f"{what:<40}{own:6.2f} s, evalica {other:6.2f} s: {other / own:.2f} x")
        fill(work / "large", 10 * options.battles)
        large = pokeladder.open(work / "large")
        seconds = best(options.rounds, lambda: large.sql("FROM matchups").fetchall())
        print(f"matchups of {10 * options.battles} battles: {seconds:.2f} s")


if __name__ == "__main__":
    main()
