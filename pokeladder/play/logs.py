"""Logs of playing processes: repeated warnings of poke-env and this package are written once, with their count."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import poke_env
from poke_env.player import Player

FORMAT = "%(asctime)s %(name)s %(levelname)s %(message)s"
# Folders of code whose repeated warnings are filtered; agents' own are not.
REPEATING = (f"{Path(str(poke_env.__file__)).parent}/", f"{Path(__file__).parent.parent}/")
POKE_ENV_FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"


class Once(logging.Filter):
    """Passes the first warning of each place in the code and each origin of an exception.

    The tenth, the hundredth and so on pass with their count.
    """

    def __init__(self) -> None:
        super().__init__()
        self._counts: Counter[tuple[object, ...]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING or not record.pathname.startswith(REPEATING):
            return True
        place = (record.pathname, record.lineno, *_origin(record))
        self._counts[place] += 1
        count = self._counts[place]
        if count == 1:
            return True
        if str(count).strip("0") != "1":
            return False
        record.msg, record.args = f"logged {count} times: {record.getMessage()}", ()
        record.exc_info = record.exc_text = None
        return True


def begin() -> None:
    """Sets up the logging of this process."""
    logging.basicConfig(level=logging.WARNING, format=FORMAT)
    once = Once()
    for handler in logging.getLogger().handlers:
        handler.addFilter(once)
    logging.getLogger("poke-env").handlers.clear()


def speak_once(player: Player) -> None:
    """Removes poke-env's handler of a player's logger, which would duplicate the process's log."""
    for handler in list(player.logger.handlers):
        if player.logger.propagate and handler.formatter and handler.formatter._fmt == POKE_ENV_FORMAT:
            player.logger.removeHandler(handler)


def _origin(record: logging.LogRecord) -> tuple[object, ...]:
    kind, _, trace = record.exc_info or (None, None, None)
    if trace is None:
        return ()
    while trace.tb_next is not None:
        trace = trace.tb_next
    return kind, trace.tb_frame.f_code.co_filename, trace.tb_lineno
