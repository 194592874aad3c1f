"""Ingest and export of many trajectories, beside what a script does that reads, checks, reads and writes each file.

Makes the trajectories by repeating those of a folder under new ids. Peak memory is that of the whole process.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import lz4.frame

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Run:
    seconds: float
    megabytes: float


def repeat(source: Path, folder: Path, files: int) -> int:
    """Fills ``folder`` with this many files, each round under new ids and a day later; the bytes that they take.

    No two documents are equal: each says which round it is of.
    """
    originals = sorted(source.rglob("*.json.lz4"))
    folder.mkdir(parents=True)
    digits = random.Random(0)
    size = 0
    for number in range(files):
        days, place = divmod(number, len(originals))
        original = originals[place]
        first, rest = original.name.split("_", 1)
        rest = re.sub(r"\d\d-\d\d-\d{4}", f"{date(2001, 1, 1) + timedelta(days):%m-%d-%Y}", rest)
        document = lz4.frame.decompress(original.read_bytes()).rstrip()
        content = lz4.frame.compress(document.removesuffix(b"}") + b', "round": %d}' % days)
        size += len(content)
        prefix = first.rpartition("-")[0]
        (folder / f"{prefix}-{digits.randrange(10**10):010d}_{rest}").write_bytes(content)
    return size


def load(path: Path) -> dict[str, list[object]]:
    with lz4.frame.open(path, "rb") as file:
        return json.loads(file.read().decode())


def scripted_read(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        load(path)


def scripted_filter(folder: Path, output: Path) -> None:
    """Loads and checks every file, then loads and writes those that pass."""
    output.mkdir()
    passed = []
    for path in sorted(folder.iterdir()):
        trajectory = load(path)
        steps = len(trajectory["states"]) - 1
        missing = sum(action == -1 for action in trajectory["actions"][:-1])
        if 10 <= steps <= 1000 and missing <= 0.05 * steps:
            passed.append(path)
    for path in passed:
        staged = output / f"{path.name}.tmp"
        with lz4.frame.open(staged, "wb") as file:
            file.write(json.dumps(load(path)).encode())
        staged.rename(output / path.name)


def timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def pokeladder(*arguments: str) -> Run:
    """Runs the command line, imports and all."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("pokeladder")), *arguments], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"pokeladder {' '.join(arguments)} failed")
    return Run(time.perf_counter() - started, usage.ru_maxrss / 1024)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=HERE.parent / "tests" / "data" / "metamon")
    parser.add_argument("--files", type=int, default=20_000)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        size = repeat(options.source, work / "in" / "gen1ou", options.files)
        print(f"{options.files} trajectories, {size / 1e6:.1f} MB of .json.lz4, {os.cpu_count()} cores")
        store = str(work / "ladder")
        ingest = pokeladder("--store", store, "ingest", str(work / "in"))
        again = pokeladder("--store", store, "ingest", str(work / "in"))
        stored = sum(path.stat().st_size for path in (work / "ladder").rglob("*") if path.is_file())
        export = pokeladder("--store", store, "export-filtered", "--output-dir", str(work / "out"))
        exported = len(list((work / "out" / "gen1ou").iterdir()))
        read_seconds = timed(lambda: scripted_read(work / "in" / "gen1ou"))
        filter_seconds = timed(lambda: scripted_filter(work / "in" / "gen1ou", work / "scripted"))
        assert len(list((work / "scripted").iterdir())) == exported
        print(f"{'':<24}{'seconds':>9}{'files/s':>9}{'peak MB':>9}")
        for what, seconds, memory in (
            ("script: read", read_seconds, None),
            ("ingest", ingest.seconds, ingest.megabytes),
            ("ingest, nothing new", again.seconds, again.megabytes),
            ("script: filter", filter_seconds, None),
            ("export-filtered", export.seconds, export.megabytes),
        ):
            shown = f"{memory:>9.0f}" if memory is not None else ""
            print(f"{what:<24}{seconds:>9.1f}{options.files / seconds:>9.0f}{shown}")
        print(
            f"ingest {read_seconds / ingest.seconds:.1f} x, export {filter_seconds / export.seconds:.1f} x the script; "
            f"the store takes {stored / size:.3f} of the files' bytes; {exported} exported"
        )


if __name__ == "__main__":
    main()
