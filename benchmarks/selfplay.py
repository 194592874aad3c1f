"""Self-play: its rate beside poke-env on a local server and beside the simulator alone, how busy the cores are, how
longer runs compare with shorter ones, and memory as a run goes on.

Prints ratios measured in one run; `benchmarks/README.md` keeps the last ones.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
from embedded import Rate, poke_env_on_server, report, showdown_server, simulator_alone
from poke_env.teambuilder import Teambuilder

import pokeladder
from pokeladder.runs.teams import team_files
from pokeladder.simulator.setup import Simulator, ensure_simulator

PEER_BATTLES = 400
AT_ONCE = 50


class StandardTeams(Teambuilder):
    """Any of the teams that self-play draws from."""

    def __init__(self) -> None:
        texts = [path.read_text() for path in team_files("standard", "gen1ou")]
        self.teams = [self.join_team(self.parse_showdown_team(text)) for text in texts]

    def yield_team(self) -> str:
        return random.choice(self.teams)


@dataclass
class Played:
    """What a run of self-play has shown.

    Attributes:
        rate: from the first battle's start to the last one's end.
        seconds: of the whole call.
        busy: share of all cores' time in use while battles were stored.
        memory: bytes of all processes, by the number of battles stored.
    """

    rate: Rate
    seconds: float
    busy: float
    memory: dict[int, int]


def selfplay(agent: str, battle_format: str, battles: int, *, trajectories: bool) -> Played:
    times: list[tuple[int, float, float]] = []
    memory: dict[int, int] = {}

    def watch(progress: pokeladder.Progress) -> None:
        if progress.stored > 0:
            cpu = psutil.cpu_times()
            times.append((progress.stored, sum(cpu), cpu.idle + cpu.iowait))
            memory[progress.stored] = progress.use.memory

    with tempfile.TemporaryDirectory() as folder:
        ladder = pokeladder.open(folder)
        reached = ladder.selfplay(
            agent, num_battles=battles, battle_format=battle_format, trajectories=trajectories, watch=watch
        )
        ((seconds, turns),) = ladder.sql(
            "SELECT epoch(max(finished_at) - min(started_at)), sum(turns) FROM battles"
        ).fetchall()
    # The last look is when everything has ended.
    (_, begun, idle_then), (_, ended, idle_now) = times[0], times[-2]
    busy = 1 - (idle_now - idle_then) / (ended - begun)
    return Played(Rate(battles / seconds, turns / seconds), reached.seconds, busy, memory)


def against_poke_env(simulator: Simulator, battles: int) -> None:
    cores = len(os.sched_getaffinity(0))
    best = Rate(0, 0)
    for processes in (1, cores):
        with showdown_server(simulator, processes) as port:
            theirs = poke_env_on_server(port, "heuristics", "gen1ou", PEER_BATTLES, AT_ONCE, StandardTeams())
        report(f"gen1ou: poke-env, {processes}-process server", theirs)
        best = max(best, theirs, key=lambda rate: rate.battles)
    ours = selfplay("heuristics", "gen1ou", battles, trajectories=True)
    report("gen1ou: selfplay heuristics, recorded", ours.rate)
    print(f"selfplay heuristics / poke-env: {ours.rate.battles / best.battles:.2f} x battles/s")
    print(f"cores {ours.busy:.1%} busy; {battles} battles took {ours.seconds:.1f} s, so that 50,000 take "
          f"{ours.seconds * 50_000 / battles / 60:.0f} minutes")  # fmt: skip


def against_the_simulator(simulator: Simulator, battles: int) -> None:
    cores = len(os.sched_getaffinity(0))
    copies = simulator_alone(simulator, "gen1randombattle", battles // cores, cores)
    report(f"gen1randombattle: simulator alone, {cores} copies", copies)
    ours = selfplay("random", "gen1randombattle", battles, trajectories=False)
    report("gen1randombattle: selfplay random", ours.rate)
    print(
        f"selfplay random / simulator alone: {ours.rate.turns / copies.turns:.2f} x turns/s; cores {ours.busy:.1%} busy"
    )


def longer(battles: int) -> None:
    few = selfplay("heuristics", "gen1ou", battles, trajectories=True)
    many = selfplay("heuristics", "gen1ou", 10 * battles, trajectories=True)
    print(f"{battles} battles {few.seconds:.1f} s, {10 * battles} battles {many.seconds:.1f} s: "
          f"{many.seconds / few.seconds:.2f} x")  # fmt: skip
    print("battles stored  MB of memory, all processes")
    for mark in range(battles, 10 * battles + 1, battles):
        nearest = min(many.memory, key=lambda stored: abs(stored - mark))
        print(f"{nearest:14}  {many.memory[nearest] / 1e6:8,.0f}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--battles", type=int, default=2000, help="ten times as many in the longest run")
    parser.add_argument("--only", choices=["poke-env", "simulator", "longer"])
    options = parser.parse_args(arguments)
    simulator = ensure_simulator(lambda line: print(line, file=sys.stderr))
    print(f"{options.battles} battles, {len(os.sched_getaffinity(0))} cores; Showdown {simulator.version}, "
          f"Node {simulator.node.version}")  # fmt: skip
    print(f"{'':44} battles/s  turns/s")
    if options.only in (None, "poke-env"):
        against_poke_env(simulator, options.battles)
    if options.only in (None, "simulator"):
        against_the_simulator(simulator, options.battles)
    if options.only in (None, "longer"):
        longer(options.battles)


if __name__ == "__main__":
    main()
