"""``doctor``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.text import Text

from pokeladder.cli.output import console, say
from pokeladder.doctor import examine
from pokeladder.errors import PokeladderError
from pokeladder.ladder import default_folder
from pokeladder.names import shown
from pokeladder.simulator.setup import ensure_simulator

STYLES = {"ok": "green", "note": "yellow", "problem": "red"}


@click.command(epilog="Example: pokeladder doctor --setup")
@click.option("--setup", is_flag=True, help="Set up the simulator now, so that later runs need no network.")
@click.pass_context
def doctor(context: click.Context, setup: bool) -> None:
    """Check all that pokeladder needs, and print a remedy for each problem.

    Exit status 1 if battles cannot be played.
    """
    if setup:
        ensure_simulator(lambda line: say(line, err=True))
    out = console()
    problems = 0
    for finding in examine(context.obj or Path(default_folder())):
        problems += finding.status == "problem"
        line = Text.assemble(
            (f"{finding.status:<8}", STYLES[finding.status]), shown(f"{finding.name}: {finding.detail}")
        )
        out.print(line, soft_wrap=True)
        if finding.remedy:
            out.print(Text(f"{'':<8}-> {shown(finding.remedy)}"), soft_wrap=True)
    if problems:
        raise PokeladderError(f"{problems} {'problem' if problems == 1 else 'problems'} found: see above")
