"""Standard streams that are closed, full, or of an encoding that lacks a character: a line says so, or it works."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

from pokeladder.errors import OutputError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STDIN, STDOUT, STDERR = range(3)
# Name of the way to treat characters that an encoding lacks.
READABLE = "pokeladder.readable"
# What stands for a character of pokeladder's own tables.
PLAIN = {"–": "-", "±": "+-", "…": "...", "×": "x", "━": "-", "╸": "-", "╺": "-"}  # noqa: RUF001


class ReaderGoneError(Exception):
    """What reads the standard output has ended, as ``head`` does when it has enough."""


def secure() -> None:
    """Makes the standard streams safe to write to; before any other file is opened."""
    # Else the next files that are opened would have these numbers, and get what is meant for the streams.
    for number, flags in ((STDIN, os.O_RDONLY), (STDOUT, os.O_RDONLY), (STDERR, os.O_WRONLY)):
        if _is_closed(number):
            _put(os.open(os.devnull, flags), number)
    codecs.register_error(READABLE, _readable)
    if sys.stdin is None:
        sys.stdin = open(STDIN, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = _text(_Output(STDOUT, "w", closefd=False), sys.stdout)
    sys.stderr = _text(_Remarks(STDERR, "w", closefd=False), sys.stderr)


def drop_output() -> None:
    """Has the standard output take what is left without a word, as Python writes that out when it ends."""
    _put(os.open(os.devnull, os.O_WRONLY), STDOUT)


class _Output(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        """Writes bytes.

        Raises:
            ReaderGoneError, OutputError: they could not be written.
        """
        try:
            return super().write(data)
        except BrokenPipeError:
            raise ReaderGoneError from None
        except OSError as error:
            reason = "it is closed" if error.errno == errno.EBADF else error.strerror
            raise OutputError(f"cannot write to the standard output: {reason}; send it elsewhere") from error


class _Remarks(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        """Writes bytes, which are lost where nobody takes them: remarks are not what a command is run for."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def _text(raw: io.FileIO, former: TextIO | None) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(former, "encoding", None) or "utf-8",
        errors=READABLE,
        line_buffering=raw.isatty() or raw.fileno() == STDERR,
    )


def _is_closed(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return True
    return False


def _put(file: int, number: int) -> None:
    """Gives an open file another number, which processes that are started inherit."""
    os.dup2(file, number)
    if file != number:
        os.close(file)


def _readable(error: UnicodeError) -> tuple[str, int]:
    """What is written in place of characters that the encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(PLAIN.get(character, _escaped(character)) for character in lacking), error.end


def _escaped(character: str) -> str:
    # Of a path that is not UTF-8, Python keeps bytes as half of a pair of surrogates.
    return f"\\x{ord(character) - 0xDC00:02x}" if "\udc80" <= character <= "\udcff" else "?"
