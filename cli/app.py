"""The ``pokeladder`` command, and the one place where errors become exit statuses."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from types import FrameType

import click

from pokeladder.errors import PokeladderError
from pokeladder.names import shown

INTERRUPTED = 130
# Where each command lives, so that one command does not wait for the imports of all others.
COMMANDS = {
    "agents": "agents",
    "tournament": "play",
    "selfplay": "play",
    "ingest": "ingest",
    "ratings": "ratings",
    "elo": "ratings",
    "matchups": "ratings",
    "stats": "ratings",
    "report": "report",
    "export-filtered": "export",
    "sql": "sql",
    "replay": "replay",
    "check": "upkeep",
    "compact": "upkeep",
    "server": "server",
    "doctor": "doctor",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"pokeladder.cli.{COMMANDS[name]}"), name.replace("-", "_"))
        return command


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
    """Play Pokémon battle agents against each other and ask, in SQL, who is stronger."""
    context.obj = store


def main() -> None:
    """Runs the command line and exits."""
    # Schedulers end jobs with SIGTERM; what had finished is kept, as with Ctrl-C.
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(_run())


def _run() -> int:
    try:
        pokeladder.main(standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except PokeladderError as error:
        click.echo(shown(f"{error.heading}: {error}", "\n\t"), err=True)
        return error.exit_status
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except BrokenPipeError:
        # The reader has enough, as `head` does; Python must not complain about it once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
