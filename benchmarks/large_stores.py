"""Processor and wall seconds and peak memory of the commands that read all battles, for stores of several sizes.

Each store is made straight as Parquet files: mirrored pairs of ten agents, as in tournaments, without input logs.
The peak is that of all processes of a command together, looked at twenty times a second.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import psutil

from pokeladder.store.files import Store
from pokeladder.store.rows import Run
from pokeladder.store.schemas import BATTLE_SCHEMA

COMMANDS = ("elo", "ratings", "matchups", "stats", "check", "report")
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
# Ten battles a second; agents are 40 points apart, and one battle in fifty is a tie.
BATTLES = """
SELECT
    printf('%s-%06d', $run, game) AS battle_id,
    $run AS run_id,
    'tournament' AS kind,
    'gen1ou' AS format,
    'embedded' AS venue,
    printf('agent-%d', if(game % 2 = 0, first, second)) AS p1,
    printf('agent-%d', if(game % 2 = 0, second, first)) AS p2,
    printf('standard/team_%d', 1 + hash(game // 2) % 20) AS p1_team,
    printf('standard/team_%d', 1 + hash(-game // 2) % 20) AS p2_team,
    printf('%s-pair%06d', $run, game // 2) AS pair_id,
    'sodium,' || md5($run || game // 2) AS seed,
    CASE WHEN luck < 0.02 THEN NULL WHEN luck - 0.02 < 0.98 / (1 + pow(10, gap / 10)) THEN 'p1' ELSE 'p2' END AS winner,
    if(luck < 0.02, 'tie', 'win') AS outcome,
    if(luck > 0.99, 'forfeit', 'normal') AS end_reason,
    20 + hash(game) % 50 AS turns,
    20 + hash(game) % 60 AS p1_steps,
    20 + hash(game) % 55 AS p2_steps,
    0 AS p1_invalid,
    hash(game) % 100 // 99 AS p2_invalid,
    if(winner = 'p1', 1 + hash(game) % 5, 0) AS p1_left,
    if(winner = 'p2', 1 + hash(game) % 5, 0) AS p2_left,
    make_timestamptz($began + game * 100000) AS started_at,
    make_timestamptz($began + game * 100000 + (1000000 * (1 + 4 * luck))::BIGINT) AS finished_at,
    '0.11.11' AS showdown_version,
    game,
    0 AS attempt,
    $batch AS batch,
    left(md5(p1), 12) AS p1_version,
    left(md5(p2), 12) AS p2_version,
    $seed AS run_seed,
    -- 63 bits, since Parquet files of battles have signed numbers.
    (hash(game, $run, 'played') >> 1)::BIGINT AS played,
    0 AS unrecorded
FROM (
    SELECT
        game,
        game // 2 % 10 AS first,
        (game // 2 % 10 + 1 + game // 20 % 9) % 10 AS second,
        if(game % 2 = 0, 1, -1) * (first - second) AS gap,
        hash(game, $run) / 18446744073709551616 AS luck
    FROM range($begin::BIGINT, $end::BIGINT) AS games (game)
)
"""


@dataclass(frozen=True)
class Cost:
    """What a command took: processor and wall seconds, and bytes of memory of all its processes at once."""

    processor: float
    wall: float
    peak: int


def fill(folder: Path, battles: int, files: int, runs: int, *, one_seed: bool) -> None:
    """Makes a store of finished tournaments.

    Args:
        one_seed: of all runs, so that each battle has to be compared with those of all others.
    """
    store = Store(folder)
    of_each = battles // runs
    parts = max(1, files // runs)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("empty", BATTLE_SCHEMA.empty_table())
        for number in range(runs):
            began = BEGAN + timedelta(seconds=of_each * number / 10)
            run = f"{began:%Y%m%d-%H%M%S}-{number:04x}"
            store.add_run(Run(run, "tournament", "gen1ou", "embedded", "{}", of_each, began, "0.1.0", "0.11.11"))
            for part in range(parts):
                batch = f"{number:08x}-{part:06d}"
                parameters = {
                    "run": run,
                    "seed": "0" if one_seed else str(number),
                    "batch": batch,
                    "began": int(began.timestamp() * 1e6),
                    "begin": of_each * part // parts,
                    "end": of_each * (part + 1) // parts,
                }
                made = connection.sql(f"FROM empty UNION ALL BY NAME ({BATTLES})", params=parameters)
                store.write_table(made.to_arrow_table().cast(BATTLE_SCHEMA), "battles", run, batch)


def cost(command: Sequence[str]) -> Cost:
    """Runs a command.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    peak = 0
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
        root = psutil.Process(running.pid)
        used: dict[int, float] = {}
        while running.poll() is None:
            peak = max(peak, _look(root, used))
            time.sleep(0.05)
        wall = time.perf_counter() - started
        if running.returncode:
            raise subprocess.CalledProcessError(running.returncode, command, stderr=running.communicate()[1])
    return Cost(sum(used.values()), wall, peak)


def _look(root: psutil.Process, used: dict[int, float]) -> int:
    """Bytes of a process and all below it; notes the processor seconds of each in ``used``."""
    resident = 0
    try:
        for process in (root, *root.children(recursive=True)):
            resident += process.memory_info().rss
            times = process.cpu_times()
            used[process.pid] = times.user + times.system
    except psutil.Error:
        return 0
    return resident


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--battles", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--one-seed", action="store_true", help="All runs have one seed: battles may be equal.")
    parser.add_argument("--commands", nargs="+", default=COMMANDS)
    parser.add_argument("--store", type=Path, help="Make it here, or use what is there, and keep it.")
    options = parser.parse_args(arguments)
    program = str(Path(sys.executable).with_name("pokeladder"))
    print(f"{options.files} files in {options.runs} runs; processor s, wall s, peak MB")
    for battles in options.battles:
        with tempfile.TemporaryDirectory(prefix="large-stores-") as name:
            folder = options.store or Path(name) / "ladder"
            if not folder.exists():
                fill(folder, battles, options.files, options.runs, one_seed=options.one_seed)
            for command in options.commands:
                further = ["--output-dir", str(Path(name) / command)] if command in ("report", "elo-files") else []
                asked = "elo" if command == "elo-files" else command
                found = cost([program, "--store", str(folder), asked, *further])
                print(
                    f"{battles:>10} {command:<10}{found.processor:8.1f}{found.wall:8.1f}{found.peak / 1e6:8.0f}",
                    flush=True,
                )
                shutil.rmtree(Path(name) / command, ignore_errors=True)


if __name__ == "__main__":
    main()
