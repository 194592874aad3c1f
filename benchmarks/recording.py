"""What recording trajectories costs: battles a second of a tournament with it and without, in turns."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Sequence

import pokeladder


def rate(agent: str, battle_format: str, battles: int, *, trajectories: bool) -> float:
    """Battles a second, from the first one's start to the last one on disk."""
    with tempfile.TemporaryDirectory() as folder:
        ladder = pokeladder.open(folder)
        agents = [f"{agent},name=a", f"{agent},name=b"]
        reached = ladder.tournament(
            agents, battles_per_matchup=battles, battle_format=battle_format, trajectories=trajectories
        )
    return reached.played / reached.seconds


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--battles", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--battle-format", default="gen1ou")
    options = parser.parse_args(arguments)
    print(f"{options.battle_format}, {options.battles} battles, {options.rounds} rounds")
    for agent in ("random", "max-power", "heuristics"):
        rates: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(options.rounds):
            for trajectories, found in rates.items():
                found.append(rate(agent, options.battle_format, options.battles, trajectories=trajectories))
        without, recorded = (statistics.median(rates[trajectories]) for trajectories in (False, True))
        print(
            f"{agent:<12}{without:7.1f} battles/s without, {recorded:7.1f} with: {1 - recorded / without:6.1%} slower"
        )


if __name__ == "__main__":
    main()
