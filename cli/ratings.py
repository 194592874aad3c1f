"""``elo``, ``matchups`` and ``stats``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pokeladder.cli.options import format_option, opened, slice_of, slice_options
from pokeladder.cli.output import print_relation
from pokeladder.cli.tables import MATCHUP_COLUMNS, STANDINGS_COLUMNS, STATISTICS_COLUMNS, print_table
from pokeladder.ladder import INITIAL_RATING, K_FACTOR, Ladder, Slice


@click.command(
    epilog='Example: pokeladder elo --k-factor 16 --where "turns > 20" --output-dir results',
)
@click.option("--k-factor", type=click.FloatRange(min=0, min_open=True), default=K_FACTOR, show_default=True)
@click.option("--initial-rating", type=float, default=INITIAL_RATING, show_default=True)
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Also write ratings (JSON), progression, matchup matrix and statistics (CSV) there.",
)
@click.option("--output-prefix", default="elo_results", show_default=True, help="How those files' names begin.")
@slice_options
@format_option("table", "csv", "json")
@click.pass_context
def elo(
    context: click.Context,
    /,
    k_factor: float,
    initial_rating: float,
    output_dir: Path | None,
    output_prefix: str,
    output: str,
    **options: Any,
) -> None:
    """Rank the agents by Elo, battles in order of finish, each format by itself."""
    ladder, slice_ = opened(context), slice_of(**options)
    _say_formats(ladder, slice_)
    if output_dir is not None:
        for path in ladder.write_elo_files(output_dir, output_prefix, k_factor, initial_rating, **slice_):
            click.echo(f"Wrote {path}", err=True)
    standings = ladder.standings(k_factor, initial_rating, **slice_)
    if output == "table":
        print_table(standings, STANDINGS_COLUMNS)
    else:
        print_relation(standings, output)


@click.command(epilog="Example: pokeladder matchups --battle-format gen1ou --format csv")
@slice_options
@format_option("table", "csv", "json")
@click.pass_context
def matchups(context: click.Context, /, output: str, **options: Any) -> None:
    """Show every agent's score against every other, with 95% intervals."""
    ladder, slice_ = opened(context), slice_of(**options)
    _say_formats(ladder, slice_)
    found = ladder.matchups(**slice_)
    if output == "table":
        print_table(found, MATCHUP_COLUMNS)
    else:
        print_relation(found, output)


@click.command(epilog="Example: pokeladder stats --run 20261122-181500-0a1b")
@slice_options
@format_option("table", "csv", "json")
@click.pass_context
def stats(context: click.Context, /, output: str, **options: Any) -> None:
    """Show games, results, lengths and invalid choices of every agent."""
    ladder, slice_ = opened(context), slice_of(**options)
    _say_formats(ladder, slice_)
    found = ladder.statistics(**slice_)
    if output == "table":
        print_table(found, STATISTICS_COLUMNS)
    else:
        print_relation(found, output)


def _say_formats(ladder: Ladder, slice_: Slice) -> None:
    formats = ladder.formats(**slice_)
    if not formats:
        click.echo("No rated battles here yet.", err=True)
    elif len(formats) > 1:
        click.echo(f"Formats {', '.join(formats)} are rated separately; --battle-format shows one.", err=True)
