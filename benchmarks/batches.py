"""What batches gain: self-play of one PyTorch policy that is asked for one position at a time, and in batches."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Sequence

import pokeladder
from pokeladder import Agent


def rate(battles: int, parallel: int, batch_size: int | None, simulators: int) -> tuple[float, float]:
    """Battles and steps a second, from the first battle's start to the last one's end."""
    agent = Agent("policy", "torch_policy:TorchPolicy", {"batch_size": batch_size})
    with tempfile.TemporaryDirectory() as folder:
        ladder = pokeladder.open(folder)
        ladder.selfplay(agent, num_battles=battles, parallel_instances=parallel, workers=1, simulators=simulators)
        ((battles_a_second, steps_a_second),) = ladder.sql(
            "SELECT count(*) / seconds, sum(p1_steps + p2_steps) / seconds FROM battles,"
            " (SELECT epoch(max(finished_at) - min(started_at)) AS seconds FROM battles) GROUP BY seconds"
        ).fetchall()
    return battles_a_second, steps_a_second


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--battles", type=int, default=300)
    parser.add_argument("--parallel", type=int, default=128)
    parser.add_argument("--simulators", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    print(f"gen1ou, {options.battles} battles, {options.parallel} at once, 1 worker, {options.rounds} rounds")
    found: dict[str, list[tuple[float, float]]] = {"one at a time": [], "in batches": []}
    for _ in range(options.rounds):
        for rates, size in zip(found.values(), (1, None), strict=True):
            # The slow way plays fewer, of the same schedule.
            battles = options.battles if size is None else max(options.parallel, options.battles // 4)
            rates.append(rate(battles, options.parallel, size, options.simulators))
    for how, rates in found.items():
        battles, steps = (statistics.median(values) for values in zip(*rates, strict=True))
        print(f"{how:<14}{battles:7.2f} battles/s {steps:7.0f} steps/s")
    single, batched = (statistics.median(battles for battles, _ in rates) for rates in found.values())
    print(f"batches / one at a time: {batched / single:.2f} x battles/s")


if __name__ == "__main__":
    main()
