"""Standard streams that are closed, full, read no further, or of an encoding that lacks characters."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import pokeladder
from pokeladder.store.rows import Run
from running import command, slowly

NAME = "run – é"  # noqa: RUF001
ROWS = "sql 'FROM range(100000)'"
FULL = "cannot write to the standard output: No space left on device; redirect it elsewhere"
CLOSED = "cannot write to the standard output: it is closed; redirect it elsewhere"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with one run of no battles, whose name few encodings have."""
    folder = tmp_path_factory.mktemp("streams") / "ladder"
    run = Run(NAME, "import", "gen1ou", "server", "{}", 0, datetime(2026, 1, 1, tzinfo=UTC), "0", "0")
    pokeladder.open(folder).store.add_run(run)
    return folder


def shell(store: Path, line: str) -> subprocess.CompletedProcess[bytes]:
    """Runs a line of bash that fails where a part of a pipe does; ``pl`` is the command."""
    pl = shlex.join([command(), "--store", str(store)])
    line = f'set -o pipefail; pl() {{ {pl} "$@"; }}; {line}'
    return subprocess.run(["/bin/bash", "-c", line], capture_output=True, timeout=120)


@pytest.mark.parametrize(
    "line", ["--help", f"{ROWS} --format csv", slowly(f"{ROWS} --format json"), slowly(f"{ROWS} --format parquet")]
)
def test_a_reader_that_has_enough_is_no_error(store: Path, line: str) -> None:
    done = shell(store, f"pl {line} | head -c 1 >/dev/null")
    assert (done.returncode, done.stderr) == (0, b"")


def test_rows_are_printed_while_they_are_computed(store: Path) -> None:
    """More rows than any disk takes: an end can only come from the reader."""
    done = shell(store, "pl sql 'FROM range(1000000) a, range(1000000) b' --format csv | head -2")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"\n") == 2


@pytest.mark.parametrize("output", ["csv", slowly("json"), slowly("parquet")])
def test_a_query_that_fails_late(store: Path, output: str) -> None:
    query = "SELECT if(range = 900000, error('an odd row'), range) FROM range(1000000)"
    failed = shell(store, f'pl sql "{query}" --format {output} >/dev/null')
    assert failed.returncode == 1
    assert failed.stderr.decode().startswith("Error: Invalid Input Error: an odd row\nThe statement was:\nSELECT if(")


@pytest.mark.parametrize(
    ("line", "output", "reason"),
    [
        ("--version", "/dev/full", FULL),
        ("--version", "&-", CLOSED),
        ("sql 'SELECT 1' --format json", "/dev/full", FULL),
        slowly("sql 'SELECT 1' --format json", "&-", CLOSED),
        slowly("sql 'SELECT 1'", "/dev/full", FULL),
        slowly("elo --format csv", "&-", CLOSED),
    ],
)
def test_an_output_that_takes_nothing(store: Path, line: str, output: str, reason: str) -> None:
    failed = shell(store, f"pl {line} >{output}")
    assert failed.returncode == 1
    assert failed.stderr.decode().splitlines()[-1] == f"Error: {reason}"
    assert b"Traceback" not in failed.stderr


@pytest.mark.parametrize("errors", ["/dev/full", "&-"])
def test_remarks_that_nobody_takes(store: Path, errors: str) -> None:
    done = shell(store, f"pl elo 2>{errors}")
    assert done.returncode == 0
    assert done.stdout.startswith(b"rank")


def test_all_streams_closed(store: Path) -> None:
    assert shell(store, "pl sql - <&- >&- 2>&-").returncode == 1
    assert shell(store, "pl nonsense <&- >&- 2>&-").returncode == 2


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("ascii", b"run - ?"), slowly("latin-1", b"run - \xe9"), slowly("utf-8", NAME.encode())],
)
def test_an_encoding_that_lacks_characters(store: Path, encoding: str, shown: bytes) -> None:
    done = shell(store, f"PYTHONIOENCODING={encoding} pl sql 'SELECT run_id FROM runs'")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.splitlines()[1] == shown


def test_a_query_that_is_not_utf_8(store: Path) -> None:
    failed = shell(store, "printf 'SELECT \\xff' | pl sql -")
    assert failed.returncode == 1
    assert b"Traceback" not in failed.stderr
