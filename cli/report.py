"""``report``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pokeladder.cli.numbers import Finite
from pokeladder.cli.options import opened, slice_of, slice_options
from pokeladder.cli.output import say
from pokeladder.ladder import INITIAL_RATING, K_FACTOR


@click.command(epilog="Example: pokeladder report --output-dir report --battle-format gen1ou --to svg")
@click.option(
    "--output-dir", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the report."
)
@click.option("--k-factor", type=Finite(min=0, min_open=True), default=K_FACTOR, show_default=True)
@click.option("--initial-rating", type=Finite(), default=INITIAL_RATING, show_default=True)
@click.option(
    "--to", "kinds", type=click.Choice(["png", "svg", "pdf"]), multiple=True, default=["png"], show_default=True,
    help="File type of the pictures; repeatable.",
)  # fmt: skip
@slice_options
@click.pass_context
def report(
    context: click.Context,
    /,
    output_dir: Path,
    k_factor: float,
    initial_rating: float,
    kinds: tuple[Any, ...],
    **options: Any,
) -> None:
    """Write pictures, a summary and one page with all of it, for the battles of one format.

    The page, index.html, needs no network.
    """
    ladder = opened(context)
    ladder.report(
        output_dir,
        k_factor,
        initial_rating,
        kinds=kinds,
        watch=lambda path: say(f"Wrote {path}", err=True),
        **slice_of(**options),
    )
