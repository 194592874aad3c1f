"""What the processes that play write into their logs."""

from __future__ import annotations

import io
import logging
from pathlib import Path

from poke_env.player import RandomPlayer

import pokeladder
from pokeladder.play.logs import Once, speak_once

HERE = str(Path(str(pokeladder.__file__)).parent / "play" / "embedded" / "side.py")


def record(line: int, message: str, *, file: str = HERE, error: BaseException | None = None) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("x", logging.WARNING, file, line, message, (), exc_info)


def raised(text: str) -> ValueError:
    try:
        raise ValueError(text)
    except ValueError as error:
        return error


def test_a_line_is_written_once_with_a_count() -> None:
    once, written = Once(), io.StringIO()
    handler = logging.StreamHandler(written)
    handler.addFilter(once)
    for number in range(100_000):
        handler.handle(record(1, f"cannot read {number}"))
    lines = written.getvalue().splitlines()
    assert lines == ["cannot read 0", *(f"logged {10**n} times: cannot read {10**n - 1}" for n in range(1, 6))]


def test_each_place_is_counted_for_itself() -> None:
    once = Once()
    assert all(once.filter(record(line, "a")) for line in (1, 2, 3))
    assert once.filter(record(4, "raised", error=raised("one")))
    assert not once.filter(record(4, "raised", error=raised("another")))
    assert once.filter(record(4, "raised", error=KeyError()))
    assert all(once.filter(record(1, "an agent's", file="/home/someone/bot.py")) for _ in range(3))


def test_a_player_speaks_once_and_keeps_handlers_of_its_own() -> None:
    player = RandomPlayer(start_listening=False)
    own = logging.StreamHandler(io.StringIO())
    player.logger.addHandler(own)
    speak_once(player)
    assert player.logger.handlers == [own]
