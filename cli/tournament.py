"""``tournament``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pokeladder.cli.options import opened
from pokeladder.cli.progress import Display
from pokeladder.cli.tables import STANDINGS_COLUMNS, print_table
from pokeladder.errors import SimulatorError
from pokeladder.teams import DEFAULT_TEAM_SET


def _listed(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if value else ()


@click.command(
    epilog="Example: pokeladder tournament random max-power heuristics --battles-per-matchup 50 --seed 7",
)
@click.argument("agents", nargs=-1, metavar="AGENT...")
@click.option("--battles-per-matchup", type=click.IntRange(min=1), default=200, show_default=True)
@click.option("--battle-format", default="gen1ou", show_default=True, help="Any singles format of Showdown.")
@click.option(
    "--team-set",
    default=DEFAULT_TEAM_SET,
    show_default=True,
    help="A built-in set, one under $METAMON_CACHE_DIR/teams, or a path.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Decides teams and battle seeds.")
@click.option(
    "--parallel",
    type=click.IntRange(min=1),
    help="Battles at once, over all workers; on a server, pairs of agents' processes.  [default: 8 a worker; a core]",
)
@click.option(
    "--workers", type=click.IntRange(min=1), help="Processes that play; on a server, simulate.  [default: one a core]"
)
@click.option(
    "--turn-timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds an agent may take for a decision.",
)
@click.option(
    "--max-invalid",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Invalid decisions in a battle after which an agent forfeits it.",
)
@click.option(
    "--max-timeouts",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Time-outs in a battle after which an agent forfeits it.",
)
@click.option(
    "--trajectories/--no-trajectories",
    default=True,
    show_default=True,
    help="Keep what each side knew and did at each decision, for training.",
)
@click.option(
    "--venue",
    type=click.Choice(["embedded", "server"]),
    default="embedded",
    show_default=True,
    help="server: each agent in a process of its own, on a Showdown server.",
)
@click.option("--server-url", metavar="URL", help="Play on this server, which is running already.")
@click.option("--port", type=click.IntRange(1, 65535), help="Of the server that is started.  [default: a free one]")
@click.option(
    "--server-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the server's own files there, with its log of every battle.",
)
@click.option(
    "--battle-backend",
    type=click.Choice(["poke-env", "metamon", "pokeagent"]),
    default="poke-env",
    show_default=True,
    help="What metamon's agents read battles with.",
)
@click.option("--gpus", metavar="0,1,...", callback=_listed, help="Spread the agents' processes over these.")
@click.option("--resume", is_flag=True, help="Play only what is missing of the latest such run.")
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
    print_table(ladder.standings(run=reached.run_id), STANDINGS_COLUMNS)
    if output_dir is not None:
        click.echo(f"Wrote {ladder.write_tournament_results(reached.run_id, output_dir)}", err=True)
    _say_what_next(context, ladder.store.folder, reached.run_id)
    missing = reached.scheduled - reached.stored
    if missing:
        raise SimulatorError(
            f"{missing} battles stayed void after all attempts: --resume tries again; what the processes said is in "
            f"{ladder.store.log_folder(reached.run_id)}"
        )


def _say_what_next(context: click.Context, folder: Path, run_id: str) -> None:
    store = f"--store {context.obj} " if context.obj else ""
    click.echo(f"\nRun {run_id} is stored in {folder}. Next, try:", err=True)
    for command in (
        "matchups",
        f"replay {run_id}-000000 --html battle.html",
        'sql "SELECT p1, p2, winner, turns, end_reason FROM battles ORDER BY turns DESC LIMIT 5"',
    ):
        click.echo(f"  pokeladder {store}{command}", err=True)
