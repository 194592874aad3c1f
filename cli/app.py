"""The ``pokeladder`` command; turns errors into exit statuses."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

import click
from click.shell_completion import shell_complete

from pokeladder.cli.interruption import interruption
from pokeladder.cli.streams import ReaderGoneError, drop_output
from pokeladder.errors import OutputError, PokeladderError
from pokeladder.names import shown

NAME = "pokeladder"
# Variable of click's completion scripts.
COMPLETE = "_POKELADDER_COMPLETE"
# Commands that need some seconds to store finished battles.
RUNS = ("tournament", "selfplay")
# The commands in groups: the module of each, which is imported for that command only, and its description.
GROUPS = {
    "Play": {
        "tournament": ("play", "play a round-robin of agents"),
        "selfplay": ("play", "play an agent against itself, for trajectories"),
        "agents": ("agents", "list the agents that can play, and register more"),
        "server": ("server", "run a Showdown server for practice"),
    },
    "Ask": {
        "elo": ("ratings", "rank the agents by Elo"),
        "ratings": ("ratings", "rate the agents by maximum likelihood, with intervals"),
        "matchups": ("ratings", "show each agent's score against each other"),
        "stats": ("ratings", "show games, lengths and invalid choices of each agent"),
        "report": ("report", "write charts, a summary and a page with all of it"),
        "replay": ("replay", "play a stored battle again, and show it"),
        "sql": ("sql", "run any SQL query over the store"),
    },
    "Exchange": {
        "ingest": ("ingest", "add trajectories and battle logs of metamon"),
        "export-filtered": ("export", "write a training set for metamon"),
    },
    "Keep": {
        "check": ("upkeep", "check every file of the store, and repair it"),
        "compact": ("upkeep", "merge many small files into few large ones"),
        "doctor": ("doctor", "check the installation, and set up the simulator"),
    },
}
COMMANDS = {name: module for group in GROUPS.values() for name, (module, _) in group.items()}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"pokeladder.cli.{COMMANDS[name]}"), name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the groups of commands without importing them."""
        width = max(map(len, COMMANDS))
        for heading, commands in GROUPS.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), line) for name, (_, line) in commands.items()])


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: pokeladder tournament random max-power heuristics --battles-per-matchup 20",
)
@click.option(
    "--store",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder that holds all battles.  [default: $POKELADDER_STORE, else ./ladder]",
)
@click.version_option(package_name="pokeladder")
@click.pass_context
def pokeladder(context: click.Context, store: Path | None) -> None:
    """Play Pokémon battle agents against each other and ask, in SQL, who is stronger.

    Ctrl-C, SIGTERM and SIGHUP end a command within a second, and a run within five seconds, with finished battles
    stored.

    \b
    Exit status: 0, also if the reader of the output closes it; 1 for an error; 2 for wrong
    usage; 130 after Ctrl-C; 143 after SIGTERM or SIGHUP.
    """
    context.obj = store
    if context.invoked_subcommand in RUNS:
        interruption.of_run(context.invoked_subcommand)


def run() -> int:
    """Runs the command line; the exit status.

    Raises:
        KeyboardInterrupt: a signal arrived; other errors caused by it are raised, too.
    """
    try:
        status = _invoked()
        sys.stdout.flush()
    except ReaderGoneError:
        drop_output()
        return 0
    except OutputError as error:
        drop_output()
        return _told(error)
    return status


def _invoked() -> int:
    # click's own main prints a blank line when it is interrupted, and returns 1 when a pipe is closed.
    instruction = os.environ.get(COMPLETE)
    if instruction:
        return shell_complete(pokeladder, {}, NAME, COMPLETE, instruction)
    try:
        with pokeladder.make_context(NAME, sys.argv[1:]) as context:
            pokeladder.invoke(context)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except OutputError:
        raise
    except (click.ClickException, PokeladderError) as error:
        if interruption.signal is not None:
            raise
        return _told(error)
    return 0


def _told(error: click.ClickException | PokeladderError) -> int:
    """Prints an error in one line on stderr; the exit status."""
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    click.echo(shown(f"{error.heading}: {error}", "\n\t"), err=True)
    return error.exit_status
