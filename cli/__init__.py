"""The command line."""

from __future__ import annotations

import sys

from pokeladder.cli.interruption import interruption
from pokeladder.cli.streams import secure

__all__ = ["main"]


def main() -> None:
    """Runs the command line and exits; signals are handled before any large import."""
    try:
        secure()
        interruption.heed()
        from pokeladder.cli import app

        status = app.run()
        interruption.over(status)
    except BaseException as error:
        # A signal may also cause other exceptions, for example of a query that it has ended.
        if interruption.signal is None and not isinstance(error, KeyboardInterrupt):
            raise
        try:
            interruption.end(_line(error))
        except KeyboardInterrupt:
            # The exception of the signal, if an import delayed it.
            interruption.end("Interrupted.")
    sys.exit(status)


def _line(error: BaseException) -> str:
    from pokeladder.errors import PokeladderError, QueryError

    told = isinstance(error, PokeladderError) and not isinstance(error, QueryError)
    return f"Interrupted: {error}" if told else "Interrupted."
