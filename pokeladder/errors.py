"""The errors of pokeladder.

Each message names the thing, the reason and the remedy in one line. :func:`pokeladder.cli.app.run` prints it and
turns the error into an exit status.
"""

from __future__ import annotations


class PokeladderError(Exception):
    """Base of all errors below; exit status 1."""

    exit_status = 1
    heading = "Error"


class UsageError(PokeladderError):
    """Arguments contradict each other or name something that does not exist; exit status 2."""

    exit_status = 2


class AgentError(PokeladderError):
    """An agent cannot be found, imported or built."""


class TeamError(PokeladderError):
    """A team set cannot be found, or Showdown rejects one of its teams."""


class FormatError(PokeladderError):
    """A battle format does not exist or cannot be played here."""


class SimulatorError(PokeladderError):
    """Node or the Showdown simulator is missing, cannot be set up, or died."""


class StoreError(PokeladderError):
    """The store cannot be read or written, or a run or battle is not in it."""


class OutputError(PokeladderError):
    """The standard output cannot be written."""


class DrawingError(PokeladderError):
    """A chart cannot be drawn."""


class IngestError(PokeladderError):
    """Some of the ingested files are broken; the others are in the store."""


class QueryError(PokeladderError):
    """DuckDB refused a statement.

    Attributes:
        statement: the SQL text.
    """

    def __init__(self, reason: str, statement: str) -> None:
        super().__init__(f"{reason}\nThe statement was:\n{statement.strip()}")
        self.statement = statement


class InterruptedRunError(PokeladderError):
    """The user stopped a run; finished battles are stored.

    The command line exits with status 130 after Ctrl-C, and 143 after SIGTERM or SIGHUP.
    """

    exit_status = 130
    heading = "Interrupted"
