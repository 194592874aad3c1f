"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import click

from pokeladder.ladder import Ladder, Slice, open_ladder

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def opened(context: click.Context, *, create: bool = False) -> Ladder:
    """The store that ``--store`` names."""
    return open_ladder(context.obj, create=create)


def slice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that narrow a question to some of the battles."""
    options: list[Decorator] = [
        click.option("--battle-format", metavar="FORMAT", help="Only battles of this format."),
        click.option("--run", metavar="RUN_ID", help="Only battles of this run."),
        click.option("--agent", "agents", metavar="NAME", multiple=True, help="Only battles among these; repeat it."),
        click.option("--where", metavar="SQL", help="Only battles that meet this condition over their columns."),
    ]
    return reduce(lambda decorated, option: option(decorated), reversed(options), command)


def slice_of(battle_format: str | None, run: str | None, agents: tuple[str, ...], where: str | None) -> Slice:
    """The arguments of :class:`pokeladder.Ladder` methods that the options mean."""
    return {"battle_format": battle_format, "run": run, "agents": list(agents) or None, "where": where}


def format_option(*choices: str) -> Decorator:
    return click.option(
        "--format", "output", type=click.Choice(choices), default=choices[0], show_default=True, help="How to print it."
    )
