"""``tournament`` and ``selfplay``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pokeladder.cli.options import PlayCommand, opened, play_options
from pokeladder.cli.output import say
from pokeladder.cli.progress import Display
from pokeladder.cli.tables import STANDINGS_COLUMNS, print_table
from pokeladder.errors import SimulatorError
from pokeladder.ladder import Ladder, Slice
from pokeladder.runs.progress import Progress

PARALLEL = "Battles at once, over all workers; on a server, pairs of agents' processes.  [default: 8 a worker; a core]"


@click.command(
    cls=PlayCommand,
    epilog="Example: pokeladder tournament random max-power heuristics --battles-per-matchup 50 --seed 7",
)
@click.argument("agents", nargs=-1, metavar="AGENT...")
@click.option("--battles-per-matchup", type=click.IntRange(min=1), default=200, show_default=True)
@click.option("--parallel", type=click.IntRange(min=1), help=PARALLEL)
@play_options
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Also write tournament_results.json there.",
)
@click.pass_context
def tournament(
    context: click.Context, /, agents: tuple[str, ...], resume: bool, output_dir: Path | None, **settings: Any
) -> None:
    """Play a round-robin among two or more AGENTs.

    Every two agents meet in mirrored pairs of battles: the same two teams and the same seed, the agents swapped. All
    battles are kept in the store. `pokeladder agents` lists agents; --resume without agents goes on with the latest
    unfinished tournament.

    \b
    An agent that raises, answers nonsense, insists on an illegal choice or takes too long gets a
    random legal choice instead, which counts as invalid. On a server one that takes too long
    loses the battle at once.
    """
    ladder = opened(context, create=True)
    with Display(ladder) as display:
        reached = ladder.tournament(agents, resume=resume, watch=display.watch, notify=display.notify, **settings)
    if reached.stored:
        slice_: Slice = {"run": reached.run_id}
        print_table(ladder.elo(**slice_), STANDINGS_COLUMNS, ladder.overview(**slice_).invalid_rates)
    if output_dir is not None:
        say(f"Wrote {ladder.write_tournament_results(reached.run_id, output_dir)}", err=True)
    # A server of others does not tell what a battle can be played again from.
    replay = [] if settings["server_url"] else [f"replay {reached.run_id}-000000 --html battle.html"]
    _finish(
        context,
        ladder,
        reached,
        "matchups",
        *replay,
        'sql "SELECT p1, p2, winner, turns, end_reason FROM battles ORDER BY turns DESC LIMIT 5"',
    )


@click.command(cls=PlayCommand, epilog="Example: pokeladder selfplay heuristics --num-battles 1000")
@click.argument("agent", required=False)
@click.option("--opponent", metavar="AGENT", help="Play against this one, in mirrored pairs, and not against itself.")
@click.option("--num-battles", type=click.IntRange(min=1), default=10_000, show_default=True)
@click.option("--parallel-instances", type=click.IntRange(min=1), help=PARALLEL)
@play_options
@click.pass_context
def selfplay(context: click.Context, /, agent: str | None, opponent: str | None, **settings: Any) -> None:
    """Have AGENT play against itself, for the trajectories of both sides.

    Battles of an agent against itself count in no rating. --resume without AGENT goes on with the latest unfinished
    self-play.
    """
    ladder = opened(context, create=True)
    with Display(ladder) as display:
        reached = ladder.selfplay(agent, opponent, watch=display.watch, notify=display.notify, **settings)
    _finish(
        context,
        ladder,
        reached,
        'sql "SELECT agent, count(*), avg(steps) FROM trajectories GROUP BY agent"',
        f"export-filtered --output-dir v0 --run {reached.run_id} --balance-outcomes",
    )


def _finish(context: click.Context, ladder: Ladder, reached: Progress, *next_commands: str) -> None:
    """Says what became of the run and what to do next.

    Raises:
        SimulatorError: battles are missing.
    """
    missing = reached.scheduled - reached.stored
    if missing:
        raise SimulatorError(
            f"{missing} battles stayed void after all attempts: --resume tries again; what the processes said is in "
            f"{ladder.store.log_folder(reached.run_id)}"
        )
    repeated = ladder.repeated(reached.run_id)
    if repeated:
        click.echo(
            f"{repeated:,} of these {reached.stored:,} battles equal earlier ones and count once in ratings: "
            "--more N plays new ones.",
            err=True,
        )
    store = f"--store {context.obj} " if context.obj else ""
    unrecorded = ladder.unrecorded(reached.run_id)
    without = f", without {unrecorded:,} trajectories that could not be recorded" if unrecorded else ""
    say(f"\nRun {reached.run_id} is stored in {ladder.store.folder}{without}. Next, try:", err=True)
    for command in next_commands:
        say(f"  pokeladder {store}{command}", err=True)
