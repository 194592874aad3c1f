"""Battles and turns a second of the embedded venue, beside the simulator alone and poke-env on a local server.

Prints ratios measured in one run; `benchmarks/README.md` keeps the last ones.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from poke_env.player import Player, RandomPlayer, SimpleHeuristicsPlayer
from poke_env.ps_client import AccountConfiguration, ServerConfiguration
from poke_env.teambuilder import Teambuilder

import pokeladder
from pokeladder.simulator.setup import Simulator, ensure_simulator

HERE = Path(__file__).parent
CLASSES: dict[str, type[Player]] = {"random": RandomPlayer, "heuristics": SimpleHeuristicsPlayer}


@dataclass(frozen=True)
class Rate:
    battles: float
    turns: float


def embedded(agent: str, battle_format: str, battles: int) -> Rate:
    """A tournament of two variants of one agent, from the first battle to the last one on disk."""
    with tempfile.TemporaryDirectory() as folder:
        ladder = pokeladder.open(folder)
        reached = ladder.tournament(
            [f"{agent},name=a", f"{agent},name=b"], battles_per_matchup=battles, battle_format=battle_format
        )
        turns, seconds = ladder.sql(
            "SELECT sum(turns), extract(epoch FROM max(finished_at) - min(started_at)) FROM battles"
        ).fetchall()[0]
    return Rate(reached.stored / seconds, turns / seconds)


def simulator_alone(simulator: Simulator, battle_format: str, battles: int, copies: int) -> Rate:
    """The simulator with its own random AI, one process a copy."""
    script = str(HERE / "simulator_alone.js")
    command = [str(simulator.node.executable), script, str(simulator.folder), battle_format, str(battles)]

    def play(_: int) -> dict[str, float]:
        played = subprocess.run(command, capture_output=True, text=True, check=True)
        counted: dict[str, float] = json.loads(played.stdout)
        return counted

    with ThreadPoolExecutor(copies) as copies_at_once:
        counts = list(copies_at_once.map(play, range(copies)))
    return Rate(
        sum(count["battles"] / count["seconds"] for count in counts),
        sum(count["turns"] / count["seconds"] for count in counts),
    )


@contextlib.contextmanager
def showdown_server(simulator: Simulator, processes: int) -> Iterator[int]:
    """A server on loopback from the same package; yields its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(dir=simulator.folder.parent) as folder:
        modules = Path(folder) / "node_modules"
        shutil.copytree(simulator.folder / "node_modules", modules, copy_function=os.link, symlinks=True)
        server = modules / "pokemon-showdown"
        for needed in ("logs/repl", "config/chat-plugins", "databases"):
            (server / needed).mkdir(parents=True, exist_ok=True)
        config = (server / "config" / "config-example.js").read_text()
        config += f"\nexports.bindaddress = '127.0.0.1';\nexports.port = {port};\n"
        config += f"exports.subprocesses.simulator = {processes};\n"
        (server / "config" / "config.js").write_text(config)
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(
                [
                    simulator.node.executable,
                    server / "pokemon-showdown",
                    "start",
                    "--skip-build",
                    "--no-security",
                    str(port),
                ],
                cwd=server,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            try:
                for _ in range(300):
                    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                        break
                    time.sleep(0.1)
                yield port
            finally:
                process.terminate()
                process.wait()


def poke_env_on_server(
    port: int, agent: str, battle_format: str, battles: int, at_once: int, team: Teambuilder | None = None
) -> Rate:
    """poke-env's ``battle_against``, with the server's and the battles' start left out as far as they can be."""
    server = ServerConfiguration(f"ws://127.0.0.1:{port}/showdown/websocket", "")

    async def play() -> Rate:
        first, second = (
            CLASSES[agent](
                AccountConfiguration(f"{agent}{name}", None),
                battle_format=battle_format,
                server_configuration=server,
                max_concurrent_battles=at_once,
                team=team,
                log_level=50,
            )
            for name in "ab"
        )
        await first.battle_against(second, n_battles=4)
        warm = sum(battle.turn for battle in first.battles.values())
        started = time.perf_counter()
        await first.battle_against(second, n_battles=battles)
        seconds = time.perf_counter() - started
        turns = sum(battle.turn for battle in first.battles.values()) - warm
        return Rate(battles / seconds, turns / seconds)

    return asyncio.run(play())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--battles", type=int, default=400)
    parser.add_argument("--battle-format", default="gen1randombattle")
    parser.add_argument("--at-once", type=int, default=50, help="concurrent battles of poke-env on the server")
    options = parser.parse_args()
    battle_format, battles = options.battle_format, options.battles
    cores = len(os.sched_getaffinity(0))
    simulator = ensure_simulator(lambda line: print(line, file=sys.stderr))
    alone = simulator_alone(simulator, battle_format, battles, 1)
    copies = simulator_alone(simulator, battle_format, battles, cores)
    print(
        f"{battle_format}, {battles} battles, {cores} cores; "
        f"Showdown {simulator.version}, Node {simulator.node.version}"
    )
    print(f"{'':44} battles/s  turns/s")
    report("simulator alone, 1 copy", alone)
    report(f"simulator alone, {cores} copies", copies)
    for agent in CLASSES:
        ours = embedded(agent, battle_format, battles)
        best = Rate(0, 0)
        for processes in (1, cores):
            with showdown_server(simulator, processes) as port:
                theirs = poke_env_on_server(port, agent, battle_format, battles, options.at_once)
            report(f"{agent}: poke-env, {processes}-process server", theirs)
            best = max(best, theirs, key=lambda rate: rate.turns)
        report(f"{agent}: embedded", ours)
        print(
            f"{agent}: embedded / poke-env {ours.battles / best.battles:.2f} battles/s, "
            f"{ours.turns / best.turns:.2f} turns/s; "
            f"embedded / {cores} copies of the simulator {ours.turns / copies.turns:.2f} turns/s"
        )


def report(name: str, rate: Rate) -> None:
    print(f"{name:44} {rate.battles:9.1f} {rate.turns:8.0f}", flush=True)


if __name__ == "__main__":
    main()
