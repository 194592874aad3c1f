"""Standard streams that are closed, full, or have an encoding without some characters."""

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
# Name of the error handler for characters that an encoding lacks.
READABLE = "pokeladder.readable"
# Replacements of characters of pokeladder's tables.
PLAIN = {"–": "-", "±": "+-", "…": "...", "×": "x", "━": "-", "╸": "-", "╺": "-"}  # noqa: RUF001


class ReaderGoneError(Exception):
    """The reader of the standard output has closed it, as ``head`` does."""


def secure() -> None:
    """Makes the standard streams safe to write to; call it before any other file is opened."""
    # Other files would get the numbers of closed streams, and their output.
    for number, flags in ((STDIN, os.O_RDONLY), (STDOUT, os.O_RDONLY), (STDERR, os.O_WRONLY)):
        if _is_closed(number):
            _put(os.open(os.devnull, flags), number)
    codecs.register_error(READABLE, _readable)
    if sys.stdin is None:
        sys.stdin = open(STDIN, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = _text(_Output(STDOUT, "w", closefd=False), sys.stdout)
    sys.stderr = _text(_Remarks(STDERR, "w", closefd=False), sys.stderr)


def drop_output() -> None:
    """Discards further output, which Python would write when it ends."""
    _put(os.open(os.devnull, os.O_WRONLY), STDOUT)


class _Output(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        """Writes bytes.

        Raises:
            ReaderGoneError, OutputError: the stream cannot be written.
        """
        try:
            return super().write(data)
        except BrokenPipeError:
            raise ReaderGoneError from None
        except OSError as error:
            reason = "it is closed" if error.errno == errno.EBADF else error.strerror
            raise OutputError(f"cannot write to the standard output: {reason}; redirect it elsewhere") from error


class _Remarks(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        """Writes bytes, or drops them if the stream cannot be written: a command must not fail for its remarks."""
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
    """Duplicates an open file to a number that child processes inherit."""
    os.dup2(file, number)
    if file != number:
        os.close(file)


def _readable(error: UnicodeError) -> tuple[str, int]:
    """Replacements of characters that the encoding lacks, and the position after them."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(PLAIN.get(character, _escaped(character)) for character in lacking), error.end


def _escaped(character: str) -> str:
    # Python represents bytes of a path that is not UTF-8 by surrogates.
    return f"\\x{ord(character) - 0xDC00:02x}" if "\udc80" <= character <= "\udcff" else "?"
