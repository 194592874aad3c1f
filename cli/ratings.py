"""``ratings``, ``elo``, ``matchups`` and ``stats``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pokeladder.cli.numbers import Finite
from pokeladder.cli.options import by_version_option, format_option, opened, slice_of, slice_options
from pokeladder.cli.output import print_relation, say
from pokeladder.cli.tables import (
    GLICKO_COLUMNS,
    MATCHUP_COLUMNS,
    RATING_COLUMNS,
    SHIFT_COLUMNS,
    SPRT_COLUMNS,
    STANDINGS_COLUMNS,
    STATISTICS_COLUMNS,
    STATUS_COLUMNS,
    print_table,
)
from pokeladder.ladder import INITIAL_RATING, K_FACTOR, Ladder, Overview, Slice
from pokeladder.query.statements import fetched
from pokeladder.store.files import checked_output

UNRATED = (
    "Agents are comparable if they have taken points from each other, directly or through others. An agent is unbeaten "
    "if no other took a point from it, winless if it took no point, and apart if it met no other; each group of "
    "comparable agents has its own mean and ranks. More battles, or --prior 1, make all ratings comparable."
)


@click.command(
    epilog='Example: pokeladder elo --k-factor 16 --where "turns > 20" --output-dir results',
)
@click.option("--k-factor", type=Finite(min=0, min_open=True), default=K_FACTOR, show_default=True)
@click.option("--initial-rating", type=Finite(), default=INITIAL_RATING, show_default=True)
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Also write ratings (JSON), progression, matchup matrix and statistics (CSV) there.",
)
@click.option("--output-prefix", default="elo_results", show_default=True, help="Prefix of the names of these files.")
@slice_options
@by_version_option
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
    """Rank the agents by sequential Elo: battles in order of finish, each format separately."""
    if output_dir is not None:
        checked_output(output_dir)
    ladder, slice_ = opened(context), slice_of(**options)
    overview = _overview(ladder, slice_)
    if output_dir is not None:
        for path in ladder.write_elo_files(output_dir, output_prefix, k_factor, initial_rating, **slice_):
            say(f"Wrote {path}", err=True)
    standings = ladder.elo(k_factor, initial_rating, **slice_)
    if output == "table":
        print_table(standings, STANDINGS_COLUMNS, overview.invalid_rates)
    else:
        print_relation(standings, output)


@click.command(epilog="Example: pokeladder ratings --battle-format gen1ou --excluding \"end_reason <> 'normal'\"")
@click.option(
    "--prior",
    type=Finite(min=0),
    default=0.0,
    show_default=True,
    help="Number of ties of every agent with one rated 1500, which makes all ratings finite.",
)
@click.option(
    "--excluding", metavar="SQL", help="Leave out battles that meet this condition, and show the change of ratings."
)
@click.option("--glicko", is_flag=True, help="Show Glicko-1 and GXE instead, as Showdown does.")
@slice_options
@by_version_option
@format_option("table", "csv", "json")
@click.pass_context
def ratings(
    context: click.Context,
    /,
    prior: float,
    excluding: str | None,
    glicko: bool,
    output: str,
    **options: Any,
) -> None:
    """Rate the agents by maximum likelihood (Bradley-Terry), with 95% intervals.

    The order of battles does not matter, and the two battles of a mirrored pair count as one observation.
    """
    if glicko and (prior or excluding):
        raise click.UsageError("--glicko cannot be combined with --prior or --excluding: leave them out")
    ladder, slice_ = opened(context), slice_of(**options)
    overview = _overview(ladder, slice_)
    found = ladder.glicko(**slice_) if glicko else ladder.ratings(prior, excluding=excluding, **slice_)
    if output != "table":
        print_relation(found, output)
    elif glicko:
        print_table(found, GLICKO_COLUMNS, overview.invalid_rates)
    else:
        unrated = len(fetched(found.filter("status <> 'rated'"))) > 0
        shifts = SHIFT_COLUMNS if excluding else {}
        columns = {**RATING_COLUMNS, **shifts, **(STATUS_COLUMNS if unrated else {})}
        print_table(found, columns, overview.invalid_rates)
        if unrated:
            click.echo(UNRATED, err=True)


@click.command(epilog="Example: pokeladder matchups --battle-format gen1ou --sprt 0 20")
@click.option(
    "--sprt",
    type=Finite(),
    nargs=2,
    metavar="ELO0 ELO1",
    help="Add a sequential test of an Elo difference of ELO1 (H1) against ELO0 (H0), with error rates of 5%.",
)
@slice_options
@by_version_option
@format_option("table", "csv", "json")
@click.pass_context
def matchups(context: click.Context, /, sprt: tuple[float, float] | None, output: str, **options: Any) -> None:
    """Show every agent's score against every other, and the Elo difference, with 95% intervals.

    LOS is the likelihood that the agent is the stronger one.
    """
    if sprt is not None and not sprt[0] < sprt[1]:
        raise click.UsageError("--sprt needs two differences, the smaller one first: --sprt 0 20")
    ladder, slice_ = opened(context), slice_of(**options)
    _overview(ladder, slice_)
    found = ladder.matchups(**slice_) if sprt is None else ladder.matchups(sprt, **slice_)
    if output == "table":
        print_table(found, MATCHUP_COLUMNS if sprt is None else SPRT_COLUMNS)
    else:
        print_relation(found, output)


@click.command(epilog="Example: pokeladder stats --run 20261122-181500-0a1b")
@slice_options
@by_version_option
@format_option("table", "csv", "json")
@click.pass_context
def stats(context: click.Context, /, output: str, **options: Any) -> None:
    """Show games, results, lengths and invalid choices of every agent."""
    ladder, slice_ = opened(context), slice_of(**options)
    _overview(ladder, slice_)
    found = ladder.stats(**slice_)
    if output == "table":
        print_table(found, STATISTICS_COLUMNS)
    else:
        print_relation(found, output)


def _overview(ladder: Ladder, slice_: Slice) -> Overview:
    """Prints remarks on formats and versions on stderr."""
    overview = ladder.overview(**slice_)
    if not overview.formats:
        click.echo("There are no rated battles yet.", err=True)
    elif len(overview.formats) > 1:
        say(f"Formats {', '.join(overview.formats)} are rated separately: choose one with --battle-format.", err=True)
    for agent, versions in {} if slice_.get("by_version") else overview.versions.items():
        told = ", ".join(f"{version} ({games:,})" for version, games in versions.items())
        say(
            f"warning: {agent} has games of {len(versions)} versions, first to last {told}: separate them with "
            "--by-version",
            err=True,
        )
    return overview
