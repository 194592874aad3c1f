"""The command line."""

from __future__ import annotations

import sys

from pokeladder.cli.interruption import interruption
from pokeladder.cli.streams import secure

__all__ = ["main"]


def main() -> None:
    """Runs the command line and exits; signals are heeded before anything large is imported."""
    try:
        secure()
        interruption.heed()
        from pokeladder.cli import app

        status = app.run()
        interruption.over(status)
    except BaseException as error:
        # What an interruption brings about may be another exception, as of a query that it ended.
        if interruption.signal is None and not isinstance(error, KeyboardInterrupt):
            raise
        try:
            interruption.end(_line(error))
        except KeyboardInterrupt:
            # The signal's own exception, if an import kept it waiting until now.
            interruption.end("Interrupted.")
    sys.exit(status)


def _line(error: BaseException) -> str:
    from pokeladder.errors import PokeladderError, QueryError

    told = isinstance(error, PokeladderError) and not isinstance(error, QueryError)
    return f"Interrupted: {error}" if told else "Interrupted."
