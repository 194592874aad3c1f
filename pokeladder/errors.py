"""Every error that pokeladder raises on purpose.

Each message names the thing, the reason and the remedy in one line, so that the command line can print it as it
is. :func:`pokeladder.cli.app.run` is the one place that turns them into an exit status.
"""

from __future__ import annotations


class PokeladderError(Exception):
    """Base of all errors below; exit status 1."""

    exit_status = 1
    heading = "Error"


class UsageError(PokeladderError):
    """Arguments that contradict each other or name nothing; exit status 2."""

    exit_status = 2


class AgentError(PokeladderError):
    """An agent cannot be found, imported or built."""


class TeamError(PokeladderError):
    """A team set cannot be found or holds a team that Showdown rejects."""


class FormatError(PokeladderError):
    """A battle format does not exist or cannot be played here."""


class SimulatorError(PokeladderError):
    """Node or the Showdown simulator is missing, cannot be set up, or died."""


class StoreError(PokeladderError):
    """The store cannot be read or written, or does not hold what was asked for."""


class OutputError(PokeladderError):
    """The standard output takes no more."""


class DrawingError(PokeladderError):
    """A chart cannot be drawn."""


class IngestError(PokeladderError):
    """Some of what was to be taken in is broken; the rest is in the store."""


class QueryError(PokeladderError):
    """DuckDB refused a statement.

    Attributes:
        statement: the SQL as it was sent.
    """

    def __init__(self, reason: str, statement: str) -> None:
        super().__init__(f"{reason}\nThe statement was:\n{statement.strip()}")
        self.statement = statement


class InterruptedRunError(PokeladderError):
    """The user stopped a run; what had finished is kept.

    The exit status is 130 after Ctrl-C, and 143 after SIGTERM or SIGHUP, which the command line tells apart.
    """

    exit_status = 130
    heading = "Interrupted"
