"""Examining all that pokeladder needs, with a remedy for each problem."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from pokeladder.agents.specs import list_agents
from pokeladder.errors import AgentError, PokeladderError
from pokeladder.registry import Registry
from pokeladder.runs.teams import metamon_folder
from pokeladder.simulator.node import find_node
from pokeladder.simulator.process import Inquiry
from pokeladder.simulator.setup import (
    Simulator,
    cache_folder,
    damaged_file,
    pinned_version,
    setup_problem,
    simulator_folder,
)
from pokeladder.store.files import Store
from pokeladder.system.processes import default_workers

Status = Literal["ok", "note", "problem"]
PACKAGES = ("pokeladder", "poke-env", "duckdb", "pyarrow")
# The only port that some clients can reach.
SERVER_PORT = 8000
SIMULATOR_MEGABYTES = 400
STORE_MEGABYTES = 100


@dataclass(frozen=True)
class Finding:
    """The state of one thing that pokeladder needs, and the remedy if it is not ok."""

    name: str
    status: Status
    detail: str
    remedy: str = ""


def examine(store: Path) -> Iterator[Finding]:
    """Examines Python, Node, the simulator, the store, disk, cores, the server's port, metamon's cache and the agents.

    Nothing is created or installed.

    Args:
        store: the store's folder, which need not exist.
    """
    yield _python()
    yield from _simulator()
    yield _disk("cache", cache_folder(), SIMULATOR_MEGABYTES, "set POKELADDER_CACHE to a folder on a larger disk")
    yield _store(store)
    yield _disk("disk of the store", store, STORE_MEGABYTES, "name a store on a larger disk with --store")
    yield _machine()
    yield _port()
    yield _metamon()
    yield _agents(store)


def _python() -> Finding:
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            return Finding("Python", "problem", f"the package {package} is not installed", "run pip install pokeladder")
    return Finding("Python", "ok", f"{platform.python_version()} ({sys.executable}), {', '.join(versions)}")


def _simulator() -> Iterator[Finding]:
    try:
        node = find_node()
    except PokeladderError as error:
        reason, _, remedy = str(error).rpartition(": ")
        yield Finding("Node", "problem", reason, remedy)
        return
    npm = "with npm" if node.npm else "without npm"
    yield Finding("Node", "ok", f"{node.version} from {node.source} ({node.executable}), {npm}")
    folder = simulator_folder()
    problem = setup_problem(folder)
    if problem is not None:
        remedy = "it is set up at first use; `pokeladder doctor --setup` does it now"
        yield Finding("simulator", "note", f"Showdown {pinned_version()} in {folder}: {problem}", remedy)
        return
    damaged = damaged_file(folder)
    if damaged is not None:
        yield Finding(
            "simulator", "problem", f"{damaged} is damaged", f"delete {folder} and run `pokeladder doctor --setup`"
        )
        return
    try:
        with Inquiry(Simulator(node, folder, pinned_version())) as inquiry:
            answered = inquiry.version()["simulator"]
    except PokeladderError as error:
        yield Finding("simulator", "problem", str(error), f"delete {folder} and run `pokeladder doctor --setup`")
        return
    yield Finding("simulator", "ok", f"Showdown {answered} in {folder}, and it answers")


def _store(folder: Path) -> Finding:
    if not (folder / "battles").is_dir():
        return Finding("store", "note", f"none at {folder.absolute()}", "`pokeladder tournament` makes one")
    if not os.access(folder, os.W_OK):
        return Finding(
            "store", "problem", f"{folder} cannot be written", "correct its permissions, or name another store"
        )
    try:
        store = Store(folder, create=False)
    except PokeladderError as error:
        return Finding("store", "problem", str(error), "name another store with --store")
    files = sum(not path.is_symlink() for path in store.folder.glob("battles/*/*.parquet"))
    return Finding("store", "ok", f"{store.folder}, {files} battle files")


def _disk(name: str, folder: Path, needed: int, remedy: str) -> Finding:
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free // 10**6
    if not there.is_dir():
        return Finding(name, "problem", f"{there} is not a folder", remedy)
    if not os.access(there, os.W_OK):
        return Finding(name, "problem", f"{there} cannot be written", remedy)
    if free < needed:
        return Finding(name, "problem", f"{free} MB free at {there}, {needed} MB needed", remedy)
    return Finding(name, "ok", f"{folder.absolute()}, {free / 1000:.1f} GB free")


def _machine() -> Finding:
    return Finding("machine", "ok", f"{platform.system()} {platform.machine()}, {default_workers()} cores to use")


def _port() -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", SERVER_PORT))
        except OSError:
            detail = f"port {SERVER_PORT} is in use"
            return Finding("port", "note", detail, "this matters only for agents that cannot use another port")
    return Finding("port", "ok", f"{SERVER_PORT} is free")


def _metamon() -> Finding:
    teams = metamon_folder()
    if teams is None:
        return Finding("metamon", "note", "METAMON_CACHE_DIR is not set", "set it to use metamon's team sets")
    if not teams.is_dir():
        return Finding("metamon", "note", f"{teams} does not exist", "metamon makes it when it downloads its team sets")
    sets = sorted(folder.name for folder in teams.iterdir() if folder.is_dir())
    return Finding("metamon", "ok", f"team sets {', '.join(sets) or 'none'} in {teams}")


def _agents(store: Path) -> Finding:
    try:
        names = [listing.name for listing in list_agents()] + Registry.of(store).names()
    except AgentError as error:
        return Finding("agents", "problem", str(error), "correct that file")
    return Finding("agents", "ok", ", ".join(names))
