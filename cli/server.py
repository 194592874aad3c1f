"""``server``."""

from __future__ import annotations

from pathlib import Path

import click

from pokeladder.cli.output import say
from pokeladder.errors import SimulatorError
from pokeladder.simulator.server import ServerProcess
from pokeladder.simulator.setup import ensure_simulator
from pokeladder.store.files import checked_output
from pokeladder.system.processes import default_workers, last_words
from pokeladder.system.scratch import Scratch


@click.command(epilog="Example: pokeladder server --port 8000")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port; 0 for a free one.")
@click.option("--processes", type=click.IntRange(min=1), help="Simulating processes.  [default: one for each core]")
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the server's files, with its log of every battle.",
)
def server(port: int, processes: int | None, folder: Path | None) -> None:
    """Run a Showdown server for practice, until Ctrl-C.

    It listens on this machine only, and users can log in under any name without a password. Play on it with `pokeladder
    tournament --server-url`.
    """
    kept = None if folder is None else checked_output(folder).absolute()
    simulator = ensure_simulator(lambda line: say(line, err=True))
    with Scratch() as scratch:
        path = (kept or scratch) / "server.log"
        if kept is not None:
            kept.mkdir(parents=True, exist_ok=True)
        with ServerProcess(
            simulator, port=port, processes=processes or default_workers(), log=path, arranged=False, folder=kept
        ) as running:
            click.echo(running.url)
            click.echo("End it with Ctrl-C.", err=True)
            try:
                while True:
                    running.receive()
            except EOFError:
                raise SimulatorError(f"the server has ended (exit status {running.stop()}){last_words(path)}") from None
