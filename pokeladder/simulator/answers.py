"""Cache on disk of the simulator's answers about formats and teams."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

# Seconds to wait for another process, which writes for milliseconds; after that the cache is not used.
WAIT_SECONDS = 1.0
TABLE = "CREATE TABLE IF NOT EXISTS answers (question BLOB PRIMARY KEY, answer BLOB NOT NULL) WITHOUT ROWID"


class Answers:
    """The cache; a file that cannot be read or written is ignored.

    Args:
        path: path of the file.
        source: key of everything that answers depend on besides their questions.
    """

    def __init__(self, path: Path, source: bytes) -> None:
        self._source = hashlib.sha256(source)
        self._new: dict[bytes, bytes] = {}
        self._file: sqlite3.Connection | None = None
        with suppress(sqlite3.Error):
            self._file = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)
            self._file.execute(TABLE)

    def find(self, *question: str) -> Any:
        """The cached answer.

        Raises:
            KeyError: there is none.
        """
        key, row = self._key(question), None
        if key in self._new:
            return orjson.loads(self._new[key])
        with suppress(sqlite3.Error):
            if self._file is not None:
                row = self._file.execute("SELECT answer FROM answers WHERE question = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(question)
        return orjson.loads(row[0])

    def add(self, answer: Any, *question: str) -> None:
        self._new[self._key(question)] = orjson.dumps(answer)

    def close(self) -> None:
        """Writes the added answers."""
        if self._file is None:
            return
        with suppress(sqlite3.Error):
            if self._new:
                self._file.execute("BEGIN IMMEDIATE")
                self._file.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", self._new.items())
                self._file.execute("COMMIT")
        self._file.close()
        self._file = None

    def _key(self, question: tuple[str, ...]) -> bytes:
        key = self._source.copy()
        key.update(orjson.dumps(question))
        return key.digest()
