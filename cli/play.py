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
from pokeladder.store.files import checked_output

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
    battles are stored. `pokeladder agents` lists agents; --resume without agents resumes the latest unfinished
    tournament.

    \b
    If an agent raises, answers with something that is not a choice, repeats an illegal choice or
    exceeds the time limit, a random legal choice is played, and the decision counts as invalid. On
    a server an agent that exceeds the time limit loses the battle at once.
    """
    if output_dir is not None:
        checked_output(output_dir)
    ladder = opened(context, create=True)
    with Display(ladder) as display:
        reached = ladder.tournament(agents, resume=resume, watch=display.watch, notify=display.notify, **settings)
    if reached.stored:
        slice_: Slice = {"run": reached.run_id}
        print_table(ladder.elo(**slice_), STANDINGS_COLUMNS, ladder.overview(**slice_).invalid_rates)
    if output_dir is not None:
        say(f"Wrote {ladder.write_tournament_results(reached.run_id, output_dir)}", err=True)
    # Battles on another server have no input log.
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
@click.option("--opponent", metavar="AGENT", help="Opponent, in mirrored pairs, instead of the agent itself.")
@click.option("--num-battles", type=click.IntRange(min=1), default=10_000, show_default=True)
@click.option("--parallel-instances", type=click.IntRange(min=1), help=PARALLEL)
@play_options
@click.pass_context
def selfplay(context: click.Context, /, agent: str | None, opponent: str | None, **settings: Any) -> None:
    """Play AGENT against itself, for the trajectories of both sides.

    Battles of an agent against itself do not count in ratings. --resume without AGENT resumes the latest unfinished
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
    """Prints the result of a run and useful next commands.

    Raises:
        SimulatorError: battles are missing.
    """
    missing = reached.scheduled - reached.stored
    if missing:
        raise SimulatorError(
            f"{missing} battles stayed void after all attempts: try again with --resume; the logs are in "
            f"{ladder.store.log_folder(reached.run_id)}"
        )
    repeated = ladder.repeated(reached.run_id)
    if repeated:
        click.echo(
            f"{repeated:,} of these {reached.stored:,} battles equal earlier ones and count once in ratings: "
            "play new ones with --more N.",
            err=True,
        )
    store = f"--store {context.obj} " if context.obj else ""
    unrecorded = ladder.unrecorded(reached.run_id)
    without = f", without {unrecorded:,} trajectories that could not be recorded" if unrecorded else ""
    say(f"\nRun {reached.run_id} is stored in {ladder.store.folder}{without}. Next, try:", err=True)
    for command in next_commands:
        say(f"  pokeladder {store}{command}", err=True)
