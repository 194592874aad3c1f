"""``export-filtered``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from pokeladder.cli.numbers import Finite
from pokeladder.cli.options import opened
from pokeladder.cli.output import say
from pokeladder.cli.progress import FileBar
from pokeladder.exchange.export import STATS_FILE


@click.command(
    name="export-filtered",
    epilog='Example: pokeladder export-filtered --output-dir v0_filtered --balance-outcomes --where "rating > 1400"',
)
@click.option("--output-dir", type=click.Path(file_okay=False, path_type=Path), help="Folder for <format>/*.json.lz4.")
@click.option(
    "--max-invalid-rate",
    type=Finite(0, 1),
    default=0.05,
    show_default=True,
    help="Largest share of missing and invalid actions.",
)
@click.option(
    "--min-steps",
    "--min-turns",
    "min_steps",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="Smallest number of steps.",
)
@click.option(
    "--max-steps",
    "--max-turns",
    "max_steps",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="Largest number of steps.",
)
@click.option("--balance-outcomes", is_flag=True, help="Keep equally many wins and losses, and no ties.")
@click.option("--seed", type=int, default=42, show_default=True, help="Decides what balance and limit drop.")
@click.option("--where", metavar="SQL", help="Only trajectories that meet this condition over their columns.")
@click.option("--agent", "agents", metavar="NAME", multiple=True, help="Only trajectories of this agent; repeatable.")
@click.option("--battle-format", metavar="FORMAT", help="Only trajectories of this battle format.")
@click.option("--format", "old_format", hidden=True)
@click.option("--run", metavar="RUN_ID", help="Only trajectories of this run.")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]),
    help="Only trajectories played at this time (UTC) or later.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    help="Largest number of trajectories; with --append, of added ones.",
)
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option(
    "--to",
    type=click.Choice(["metamon", "parquet"]),
    default="metamon",
    show_default=True,
    help="One file for each trajectory, or <format>/trajectories.parquet.",
)
@click.option("--overwrite", is_flag=True, help="Replace the trajectories in a folder that is not empty.")
@click.option("--append", is_flag=True, help="Add to the trajectories in the folder, which count for balance.")
@click.pass_context
def export_filtered(
    context: click.Context,
    /,
    output_dir: Path | None,
    agents: tuple[str, ...],
    since: datetime | None,
    dry_run: bool,
    battle_format: str | None,
    old_format: str | None,
    **options: Any,
) -> None:
    """Write a training set for metamon: trajectories selected with SQL.

    Writes <output-dir>/<format>/*.json.lz4, which metamon takes as --custom_replay_dir or --parsed_replay_dir, and
    filtering_stats.json: what was selected and how, and what was left out and why. Steps are the decisions of one side.
    `pokeladder sql "DESCRIBE trajectories"` lists the columns that --where can use.

    --append adds to such a folder: its trajectories count for --balance-outcomes, and filtering_stats.json describes
    the whole set.

    \b
    Files are written atomically; after an interruption the same command completes the set.
    """
    if output_dir is None and not dry_run:
        raise click.UsageError("name a folder with --output-dir, or count only with --dry-run")
    if old_format is not None:
        if battle_format is not None:
            raise click.UsageError("--format is the former name of --battle-format: give one of them")
        say("warning: --format is called --battle-format now, as in the other commands", err=True)
    with FileBar("Written") as bar:
        exported = opened(context).export_filtered(
            None if dry_run else output_dir,
            agents=list(agents) or None,
            battle_format=battle_format or old_format,
            since=since,
            watch=bar.watch,
            **options,
        )
    share = f" ({exported.output_count / exported.input_count:.1%})" if exported.input_count else ""
    click.echo(
        f"Selected {exported.output_count:,} of {exported.input_count:,} trajectories{share}: "
        f"{exported.wins:,} wins, {exported.losses:,} losses, {exported.ties:,} ties."
    )
    if exported.there:
        others = f", {exported.of_others:,} of them not from this store" if exported.of_others else ""
        click.echo(f"{exported.there:,} of these were in {output_dir} before{others}.")
    for reasons, what in ((exported.failed_reasons, "Failed"), (exported.removed, "Left out")):
        if reasons:
            click.echo(f"{what}: {_listed(reasons)}.")
    if exported.unrecorded:
        click.echo(f"{exported.unrecorded:,} more trajectories could not be recorded when they were played.")
    if not dry_run and output_dir is not None:
        say(f"Wrote {output_dir}; {output_dir / STATS_FILE} describes the selection.", err=True)


def _listed(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {number:,}" for reason, number in reasons.items())
