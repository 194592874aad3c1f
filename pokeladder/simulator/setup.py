"""Installs the pinned version of Showdown in the cache folder, once for all projects of a user."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISLNK
from typing import TextIO

import platformdirs

from pokeladder.errors import SimulatorError
from pokeladder.simulator.node import INSTALL_NODE, Node, find_node

HERE = Path(__file__).parent
DRIVER = HERE / "driver.js"
PINS = ("package.json", "package-lock.json")
# Number and size of all files; written last, so that a folder with it is complete.
STAMP = "complete.json"
# SHA-256 of each file, compared by `pokeladder doctor` only, since reading all files takes a second.
CONTENTS = "contents.json"
SETUP_MINUTES = 10
PROGRESS_SECONDS = 2.0
LOCK_SECONDS = 0.1
# Approximate number of files of the packages, for the progress.
EXPECTED_FILES = 2287

Notify = Callable[[str], None]


@dataclass(frozen=True)
class Simulator:
    """An installed Showdown: Node, the folder of ``node_modules``, and the version."""

    node: Node
    folder: Path
    version: str


def cache_folder() -> Path:
    """``$POKELADDER_CACHE``, else the user's cache folder."""
    configured = os.environ.get("POKELADDER_CACHE")
    return Path(configured) if configured else Path(platformdirs.user_cache_dir("pokeladder"))


def pinned_version() -> str:
    """The version of the npm package ``pokemon-showdown`` that this pokeladder uses."""
    pins = json.loads((HERE / PINS[0]).read_text())
    version: str = pins["dependencies"]["pokemon-showdown"]
    return version


def simulator_folder() -> Path:
    return cache_folder() / f"showdown-{pinned_version()}"


def setup_problem(folder: Path) -> str | None:
    """The reason why the installation in ``folder`` cannot be used, or None.

    Files are counted, and newer ones are compared with their digests.
    """
    if not folder.is_dir():
        return "not set up yet"
    try:
        stamp = json.loads((folder / STAMP).read_text())
        completed = (folder / STAMP).stat().st_mtime_ns
    except (OSError, ValueError):
        return "the set-up was interrupted"
    files = _files(folder)
    later = {name for name, found in files.items() if found.st_mtime_ns > completed}
    if stamp != _census(files) or (later and damaged_file(folder, later)):
        return "files are missing or changed"
    if later:
        # After a copy all files are new: compare them once.
        with suppress(OSError):
            os.utime(folder / STAMP)
    return None


def ensure_simulator(notify: Notify = lambda _: None) -> Simulator:
    """The simulator, installed first if needed; several processes may call this at once.

    npm checks every package against the hashes in the lock file of pokeladder. It installs into a temporary folder,
    which is renamed when complete.

    Args:
        notify: called with a line before something that takes time.

    Raises:
        SimulatorError: there is no Node, or npm failed.
    """
    node = find_node()
    folder = simulator_folder()
    simulator = Simulator(node, folder, pinned_version())
    if setup_problem(folder) is None:
        return simulator
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f"{folder.name}.lock").open("a") as lock:
            _take(lock, notify)
            problem = setup_problem(folder)
            if problem is not None:
                notify(f"Setting up Showdown {simulator.version} in {folder} ({problem}) ...")
                _install(node, folder, lock, notify)
                notify(f"Showdown {simulator.version} is set up.")
    except OSError as error:
        raise SimulatorError(
            f"cannot set up the simulator in {folder}: {error}; set POKELADDER_CACHE to a folder that can be written"
        ) from error
    return simulator


def _take(lock: TextIO, notify: Notify) -> None:
    """Acquires the lock, which is held until the file is closed in all processes that share it."""
    deadline = time.monotonic() + SETUP_MINUTES * 60
    waited = False
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise SimulatorError(
                    f"another process has been setting up the simulator for {SETUP_MINUTES} minutes: "
                    f"end it, or delete {lock.name}"
                ) from None
        if not waited:
            notify("Waiting for another process that is setting up the simulator ...")
            waited = True
        time.sleep(LOCK_SECONDS)


def _install(node: Node, folder: Path, lock: TextIO, notify: Notify) -> None:
    if node.npm is None:
        raise SimulatorError(f"{node.executable} has no npm beside it: install npm, or run {INSTALL_NODE}")
    for leftover in folder.parent.glob(f".{folder.name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for pin in PINS:
            shutil.copyfile(HERE / pin, staging / pin)
        command = [str(node.executable), str(node.npm), "ci"]
        # Optional packages are databases and mailers of a public server; install scripts only download binaries.
        command += ["--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        _run_npm(command, staging, lock, notify)
        write_contents(staging)
        (staging / STAMP).write_text(json.dumps(_census(_files(staging))))
        if folder.exists():
            shutil.rmtree(folder)
        staging.chmod(0o755)
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _run_npm(command: list[str], staging: Path, lock: TextIO, notify: Notify) -> None:
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as said:
        npm = subprocess.Popen(
            command,
            cwd=staging,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            # Shared with npm: if this process is killed, npm continues, and the next process must wait for it.
            pass_fds=(lock.fileno(),),
        )
        try:
            while True:
                try:
                    status = npm.wait(PROGRESS_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    seconds = time.monotonic() - started
                    if seconds > SETUP_MINUTES * 60:
                        raise SimulatorError(
                            f"npm took over {SETUP_MINUTES} minutes: check the network and try again"
                        ) from None
                    notify(_progress(len(_files(staging)), seconds))
        finally:
            npm.kill()
            npm.wait()
        if status != 0:
            said.seek(0)
            lines = [line.strip() for line in said if line.strip()]
            reason = " / ".join(lines[:3]) or f"exit status {status}"
            raise SimulatorError(f"npm could not install the simulator: {reason}; check the network and try again")


def _progress(files: int, seconds: float) -> str:
    line = f"  {files} of {EXPECTED_FILES} files"
    if 0 < files < EXPECTED_FILES:
        line += f", {files / seconds:.0f} files/s, {seconds * (EXPECTED_FILES / files - 1):.0f} s left"
    return line


def damaged_file(folder: Path, names: Container[str] | None = None) -> Path | None:
    """A file that differs from its digest; None without one, or if an older pokeladder wrote no digests.

    Args:
        names: compare these files only.
    """
    try:
        expected = json.loads((folder / CONTENTS).read_text())
    except (OSError, ValueError):
        return None
    looked_at = {name: digest for name, digest in expected.items() if names is None or name in names}
    return next((folder / name for name, digest in looked_at.items() if _digest(folder / name) != digest), None)


def write_contents(folder: Path) -> None:
    """Writes the digest of each file, for :func:`damaged_file`."""
    digests = {name: _digest(folder / name) for name, found in _files(folder).items() if not S_ISLNK(found.st_mode)}
    (folder / CONTENTS).write_text(json.dumps(digests))


def _digest(path: Path) -> str | None:
    """SHA-256 in hexadecimal; None if the file cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _files(folder: Path) -> dict[str, os.stat_result]:
    """The files of the packages, by their paths in the folder."""
    found = {}
    for parent, _, names in os.walk(folder / "node_modules"):
        for name in names:
            # npm also removes files.
            with suppress(FileNotFoundError):
                path = f"{parent}/{name}"
                found[path.removeprefix(f"{folder}/")] = os.lstat(path)
    return found


def _census(files: Mapping[str, os.stat_result]) -> dict[str, int]:
    return {"files": len(files), "bytes": sum(found.st_size for found in files.values())}
