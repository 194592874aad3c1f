"""Ctrl-C, SIGTERM and SIGHUP end every command with the status that stands for them, and with one line."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import count
from pathlib import Path

import duckdb
import psutil
import pyarrow as pa
import pytest

import pokeladder
from metamon_data import many
from pokeladder.store.rows import Run
from pokeladder.store.schemas import BATTLE_SCHEMA
from pokeladder.system.interrupts import deferred, interrupt_queries, interruptible
from running import HELPERS, command, slowly

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}
SIGNALS = [pytest.param(number, id=number.name) for number in STATUS]
# More rows than anybody waits for.
ENDLESS = "range(1000000) a, range(1000000) b WHERE (a.range * b.range) % 7 = 3"
BATTLES = """
SELECT
    printf('run-%09d', number) AS battle_id, 'run' AS run_id, 'import' AS kind, 'gen1ou' AS format,
    'embedded' AS venue, printf('agent-%d', number % 10) AS p1, printf('agent-%d', (number + 1 + number // 10 % 9) % 10)
    AS p2, if(random() < 0.5, 'p1', 'p2') AS winner, 'win' AS outcome, 'normal' AS end_reason, 30 AS turns,
    make_timestamptz(1767225600000000 + number) AS finished_at, 'batch' AS batch
FROM range($first, $first + $battles) AS numbers (number)
"""


def begun(
    folder: Path,
    *arguments: str,
    store: str = "ladder",
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.PIPE,
) -> subprocess.Popen[str]:
    """The command, once it heeds signals."""
    process = subprocess.Popen(
        [command(), "--store", str(folder / store), *arguments],
        cwd=folder,
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HELPERS)},
    )
    _wait_until_heeded(process, signal.SIGHUP)
    return process


def _wait_until_heeded(process: subprocess.Popen[str], number: signal.Signals) -> None:
    while process.poll() is None:
        found = re.search(r"^SigCgt:\t(.*)$", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
        if found and int(found[1], 16) & 1 << number - 1:
            return
        time.sleep(0.002)


def assert_ended(process: subprocess.Popen[str], number: signal.Signals) -> str:
    """The command has ended as that signal ends commands; the line that it printed."""
    _, errors = process.communicate(timeout=120)
    assert process.returncode == STATUS[number], errors
    last = errors.splitlines()[-1]
    assert last.startswith("Interrupted")
    assert errors.count("Interrupted") == 1
    assert "Traceback" not in errors
    return last


@pytest.mark.parametrize("number", [signal.SIGTERM, *(slowly(number) for number in (signal.SIGINT, signal.SIGHUP))])
def test_a_query_ends(tmp_path: Path, number: signal.Signals) -> None:
    pokeladder.open(tmp_path / "ladder")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # The pipe's other end can be opened once the query reads it, and the query goes on when that is closed.
    process = begun(tmp_path, "sql", f"SELECT count(*) FROM read_csv('{pipe}', columns={{'x': 'INT'}}), {ENDLESS}")
    pipe.write_text("1\n")
    process.send_signal(number)
    assert assert_ended(process, number) == "Interrupted."


def test_native_code_that_does_not_come_back_ends(tmp_path: Path) -> None:
    pokeladder.open(tmp_path / "ladder")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = begun(tmp_path, "sql", f"FROM read_csv('{pipe}', columns={{'x': 'INT'}})")
    with pipe.open("w"):
        process.send_signal(signal.SIGTERM)
        assert assert_ended(process, signal.SIGTERM) == "Interrupted."


def test_waiting_for_a_query_ends(tmp_path: Path) -> None:
    pokeladder.open(tmp_path / "ladder")
    process = begun(tmp_path, "sql", "-", stdin=subprocess.PIPE)
    process.send_signal(signal.SIGHUP)
    assert_ended(process, signal.SIGHUP)


def test_a_report_ends_with_the_process_that_draws(tmp_path: Path) -> None:
    pokeladder.open(tmp_path / "ladder")
    process = begun(tmp_path, "report", "--output-dir", "report")
    assert process.stderr is not None
    assert process.stderr.readline().startswith("Wrote ")
    below = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGINT)
    assert_ended(process, signal.SIGINT)
    assert below
    psutil.wait_procs(below, timeout=60)
    assert not any(child.is_running() for child in below)


def test_a_connection_that_is_closed_needs_no_end() -> None:
    """Of an export, say, which then writes; the thread that ends the command must go on."""
    connection = interruptible(duckdb.connect())
    connection.close()
    interrupt_queries()


def test_what_is_ignored_stays_ignored(tmp_path: Path) -> None:
    pokeladder.open(tmp_path / "ladder")
    inner = f"{command()} --store {tmp_path / 'ladder'} sql -"
    process = subprocess.Popen(["nohup", *inner.split()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    _wait_until_heeded(process, signal.SIGTERM)
    process.send_signal(signal.SIGHUP)
    shown, _ = process.communicate("SELECT 41 + 1 AS answer", timeout=120)
    assert shown.split() == ["answer", "42"]


@pytest.mark.parametrize("number", [signal.SIGINT, *(slowly(number) for number in (signal.SIGTERM, signal.SIGHUP))])
def test_ctrl_c_again_and_again_tells_how_to_resume(
    tmp_path: Path, prompt_line: list[str], number: signal.Signals
) -> None:
    process = subprocess.Popen(
        [*prompt_line, "--store", "ladder", "tournament", "random", "max-power", "--battles-per-matchup", "5000"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    ladder = None
    while not (ladder and ladder.sql("SELECT count(*) FROM battles").fetchall()[0][0]):
        assert process.poll() is None
        time.sleep(0.1)
        ladder = pokeladder.open(tmp_path / "ladder") if (tmp_path / "ladder" / "runs").is_dir() else None
    below = psutil.Process(process.pid).children(recursive=True)
    for _ in range(3):
        process.send_signal(number)
    last = assert_ended(process, number)
    told = re.fullmatch(
        r"Interrupted: (\d+) of 5000 battles are stored in run \S+: "
        r"play the rest with `pokeladder tournament --resume`",
        last,
    )
    assert told
    assert ladder.sql("SELECT count(*) FROM battles WHERE outcome <> 'void'").fetchall() == [(int(told[1]),)]
    assert not psutil.wait_procs(below, timeout=60)[1]


def test_a_block_is_not_interrupted() -> None:
    done = []

    @deferred()
    def block() -> None:
        signal.raise_signal(signal.SIGINT)
        done.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_import_is_not_interrupted(tmp_path: Path) -> None:
    (tmp_path / "slow_module.py").write_text(
        "import signal\nsignal.raise_signal(signal.SIGTERM)\nprint('imported', flush=True)\n"
    )
    code = (
        "import time; from pokeladder.cli import interruption\n"
        "interruption.heed()\n"
        "try:\n"
        "    import slow_module; time.sleep(60)\n"
        "except KeyboardInterrupt:\n"
        "    interruption.end('told')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (143, "imported\n", "told\n")


# Stands for a battle of the smaller store.
BATTLE = "{battle}"
COMMANDS = {
    "help": ["--help"],
    "agents": ["agents"],
    "doctor": ["doctor"],
    "elo": ["elo"],
    "ratings": ["ratings"],
    "glicko": ["ratings", "--glicko"],
    "matchups": ["matchups"],
    "stats": ["stats"],
    "elo files": ["elo", "--output-dir", "elo"],
    "report": ["report", "--output-dir", "report"],
    "check": ["check"],
    "sql": ["sql", "SELECT count(*) FROM battles a, battles b WHERE a.turns + b.turns > 100"],
    "sql csv": ["sql", "FROM battles a JOIN battles b ON a.p1 = b.p2", "--format", "csv"],
    "sql json": ["sql", "FROM battles", "--format", "json"],
    "sql parquet": ["sql", "FROM battles ORDER BY battle_id", "--format", "parquet"],
    "compact": ["compact"],
    "server": ["server", "--port", "0"],
    "tournament": ["tournament", "random", "heuristics", "--battles-per-matchup", "100000"],
    "selfplay": ["selfplay", "random"],
    "ingest": ["ingest", "metamon"],
    "export-filtered": ["export-filtered", "--min-turns", "1", "--output-dir", "v0", "--overwrite"],
    "export-filtered parquet": [
        *["export-filtered", "--min-turns", "1", "--to", "parquet"],
        *["--output-dir", "v1", "--overwrite"],
    ],
    "replay": ["replay", BATTLE],
    "agents add": ["agents", "add", "mine", "--player", "bots:FirstLegal"],
}
# What is not asked of the million battles: "" is a new store each time.
STORES = {
    "ingest": "",
    "agents add": "",
    "export-filtered": "small",
    "export-filtered parquet": "small",
    "replay": "small",
}
# Battles of the smaller store, with two trajectories each.
FEW = 3000
MOMENTS = 10
# Moments are spread over the command, or the beginning of a long one.
LONGEST = 6.0


@pytest.fixture(scope="module")
def large() -> Iterator[Path]:
    """A folder with a store of a million battles, one of few with trajectories, and these as files."""
    with tempfile.TemporaryDirectory() as name:
        ladder = pokeladder.open(Path(name) / "ladder")
        ladder.store.add_run(
            Run("run", "import", "gen1ou", "embedded", "{}", 1_000_000, datetime.now(UTC), version("pokeladder"), None)
        )
        for number in range(2):
            add_battles(ladder, 500_000 * number, 500_000)
        small = pokeladder.open(Path(name) / "small")
        small.tournament(["random", "max-power"], battles_per_matchup=2, workers=1)
        many(Path(name) / "metamon", FEW)
        small.ingest(Path(name) / "metamon")
        yield Path(name)


def add_battles(ladder: pokeladder.Ladder, first: int, battles: int) -> None:
    """Adds a file of battles, which are numbered from ``first`` on."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("empty", BATTLE_SCHEMA.empty_table())
        parameters = {"first": first, "battles": battles}
        table = connection.sql(f"FROM empty UNION ALL BY NAME ({BATTLES})", params=parameters).to_arrow_table()
    columns = [
        table.column(field.name) if field.nullable else table.column(field.name).fill_null(_nothing(field.type))
        for field in BATTLE_SCHEMA
    ]
    table = pa.table(columns, names=BATTLE_SCHEMA.names).cast(BATTLE_SCHEMA)
    ladder.store.write_table(table, "battles", "run", f"batch-{first}")


def _nothing(kind: pa.DataType) -> object:
    return "" if pa.types.is_string(kind) else 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", COMMANDS)
def test_any_moment(large: Path, name: str) -> None:
    ((battle,),) = pokeladder.open(large / "small").sql("SELECT min(battle_id) FROM input_logs").fetchall()
    arguments = [battle if argument == BATTLE else argument for argument in COMMANDS[name]]
    fresh = count()
    ladder, first = pokeladder.open(large / "ladder"), count(1_000_000, 20_000)

    def again() -> subprocess.Popen[str]:
        if name == "compact":
            # Two files to merge.
            add_battles(ladder, next(first), 20_000)
            add_battles(ladder, next(first), 20_000)
        # What a million rows take to be read from a pipe is not what the command takes to end.
        return begun(
            large,
            *arguments,
            store=STORES.get(name, "ladder") or f"new-{next(fresh)}",
            stdout=subprocess.DEVNULL,
        )

    process = again()
    started = time.monotonic()
    try:
        process.communicate(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    lasts = time.monotonic() - started
    slowest = 0.0
    for number in STATUS:
        moments = 0
        while moments < MOMENTS:
            process = again()
            try:
                process.communicate(timeout=random.random() * lasts)
            except subprocess.TimeoutExpired:
                sent = time.monotonic()
                process.send_signal(number)
                _, errors = process.communicate(timeout=120)
                slowest = max(slowest, time.monotonic() - sent)
                assert "Traceback" not in errors
                # It may have come to its end at that moment.
                if process.returncode != 0:
                    assert process.returncode == STATUS[number], errors
                    assert errors.count("Interrupted") == 1
                    moments += 1
            else:
                assert process.returncode == 0
    sys.stderr.write(f"{name}: {slowest:.2f} s at the most\n")
