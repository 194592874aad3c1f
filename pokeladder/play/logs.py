"""Logs of processes that play: what poke-env and this package repeat is written once, with how often it was said."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import poke_env
from poke_env.player import Player

FORMAT = "%(asctime)s %(name)s %(levelname)s %(message)s"
# Folders of the code whose warnings repeat themselves; what agents log is theirs.
REPEATING = (f"{Path(str(poke_env.__file__)).parent}/", f"{Path(__file__).parent.parent}/")
POKE_ENV_FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"


class Once(logging.Filter):
    """Lets the first warning pass of each place in the code, and of each place that an exception comes from.

    The tenth, the hundredth and so on pass with their number.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: Counter[tuple[object, ...]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING or not record.pathname.startswith(REPEATING):
            return True
        place = (record.pathname, record.lineno, *_origin(record))
        self._said[place] += 1
        count = self._said[place]
        if count == 1:
            return True
        if str(count).strip("0") != "1":
            return False
        record.msg, record.args = f"said {count} times: {record.getMessage()}", ()
        record.exc_info = record.exc_text = None
        return True


def begin() -> None:
    """Sets up what this process logs."""
    logging.basicConfig(level=logging.WARNING, format=FORMAT)
    once = Once()
    for handler in logging.getLogger().handlers:
        handler.addFilter(once)
    logging.getLogger("poke-env").handlers.clear()


def speak_once(player: Player) -> None:
    """Takes away the handler that poke-env gives each player's logger, which would repeat what the process's says."""
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
