"""Battles a second of a checkpoint of metamon against itself: on metamon's own ladder, with a process a side and one
battle at a time, and embedded, where policies answer the positions of many battles at once.

The first battles, in which processes load and networks warm up, do not count: the rate is that of the battles which end
after the first tenth has.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence

import pokeladder

RATE = """
SELECT count(*) / epoch(max(finished_at) - begun), sum(p1_steps + p2_steps) / epoch(max(finished_at) - begun)
FROM battles, (SELECT quantile_disc(finished_at, 0.1) AS begun FROM battles)
WHERE finished_at > begun AND outcome <> 'void'
GROUP BY begun
"""


def rate(settings: dict[str, str], agent: str, battles: int, parallel: int, venue: str) -> tuple[float, float]:
    """Battles and steps a second."""
    with tempfile.TemporaryDirectory() as folder:
        ladder = pokeladder.open(folder)
        ladder.agents.set_metamon(settings)
        ladder.selfplay(agent, num_battles=battles, parallel_instances=parallel, venue=venue)
        ((battles_a_second, steps_a_second),) = ladder.sql(RATE).fetchall()
    return battles_a_second, steps_a_second


def show(what: str, battles: float, steps: float) -> None:
    print(f"{what:28} {battles:7.2f} battles/s {steps:7.0f} steps/s", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("agent", help="run@epoch")
    parser.add_argument("--python", required=True, help="metamon's interpreter")
    parser.add_argument("--checkpoints", required=True, help="the folder of runs")
    parser.add_argument("--model-config", help="gin file, where runs do not say their architecture")
    parser.add_argument("--battles", type=int, default=300, help="embedded; a tenth of it on the ladder")
    parser.add_argument("--parallel", type=int, default=256, help="embedded")
    options = parser.parse_args(arguments)
    settings = {"python": options.python, "checkpoints": options.checkpoints}
    if options.model_config:
        settings["model_config"] = options.model_config
    print(f"{options.agent} against itself, {len(os.sched_getaffinity(0))} cores")
    ladders = []
    for pairs in (1, 2):
        ladders.append(rate(settings, options.agent, max(10, options.battles // 10), pairs, "server"))
        show(f"metamon's ladder, {pairs} at once", *ladders[-1])
    battles, steps = rate(settings, options.agent, options.battles, options.parallel, "embedded")
    show(f"embedded, {options.parallel} at once", battles, steps)
    ladder_battles, ladder_steps = (max(rates) for rates in zip(*ladders, strict=True))
    print(f"embedded / the better of the ladders: {battles / ladder_battles:.1f} x battles/s, "
          f"{steps / ladder_steps:.1f} x steps/s")  # fmt: skip


if __name__ == "__main__":
    main()
