"""Reads trajectory files in parallel: each process summarises them and writes their documents to the store.

Processes are used instead of threads, since decoding JSON holds Python's global lock.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import pyarrow as pa

from pokeladder.errors import PokeladderError, StoreError
from pokeladder.metamon import files as metamon_files
from pokeladder.metamon.files import BrokenFileError
from pokeladder.names import shown
from pokeladder.store.files import Store
from pokeladder.store.staging import DocumentFile
from pokeladder.system.processes import Child, Parent
from pokeladder.trajectories.outlines import is_trajectory, outline_of
from pokeladder.trajectories.summaries import Summariser, binary_array

# Number of files of one task, whose documents go to one file; number and bytes of documents in memory at once; number
# of states that are outlined before they are summarised.
FILES_A_TASK = 1024
FILES_AT_ONCE = 64
BYTES_AT_ONCE = 32 << 20
STATES_AT_ONCE = 400_000
# Columns from the name of a trajectory's file, and the file of its document.
FACTS = pa.schema(
    [
        ("trajectory_id", pa.string()),
        ("name", pa.string()),
        ("source", pa.string()),
        ("digest", pa.string()),
        ("record", pa.string()),
        ("format", pa.string()),
        ("rating", pa.int32()),
        ("player", pa.string()),
        ("opponent", pa.string()),
        ("named_result", pa.string()),
        ("played_at", pa.timestamp("us")),
        ("document_file", pa.string()),
    ]
)


@dataclass(frozen=True)
class Task:
    """Files to read, for a run of the store in ``folder``."""

    folder: Path
    run_id: str
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class Unnamed:
    """A trajectory whose file's name cannot be read.

    Attributes:
        fault: the reason.
        digest: SHA-256 of its document.
    """

    path: str
    fault: str
    digest: str


@dataclass(frozen=True)
class Reading:
    """The result of a task.

    Attributes:
        files: number of its files.
        table: rows of ``sql/queries/ingest_summaries.sql``.
        broken: files that cannot be read, with reasons.
        unnamed: trajectories whose names cannot be read.
        others: JSON files that are not trajectories by name or content.
        documents: name of the file of documents, which is complete and not published yet.
    """

    files: int
    table: pa.Table
    broken: list[tuple[str, str]]
    unnamed: list[Unnamed]
    others: list[str]
    documents: str


class _OtherFileError(Exception):
    """A JSON file is not a trajectory by name or content."""


class _UnnamedError(Exception):
    """The name of a trajectory's file cannot be read."""

    def __init__(self, unnamed: Unnamed) -> None:
        super().__init__(unnamed)
        self.unnamed = unnamed


def read(task: Task) -> Reading:
    """Reads a task's files.

    Raises:
        StoreError: the documents could not be written.
    """
    summariser = _summariser()
    file = DocumentFile(Store(task.folder), task.run_id, f"ingest-{secrets.token_hex(4)}")
    tables: list[pa.Table] = []
    facts: list[dict[str, Any]] = []
    reading = Reading(len(task.paths), FACTS.empty_table(), [], [], [], file.name)
    for documents in _parts(task.paths, reading):
        names = [fact["name"] for fact, _ in documents]
        facts += [{**fact, "document_file": file.name} for fact, _ in documents]
        # Only documents that are JSON are stored: the view steps reads all of them.
        outlines = [outline_of(document) for _, document in documents]
        summariser.add(names, outlines)
        kept = [two for two, outline in zip(documents, outlines, strict=True) if outline.unreadable is None]
        file.append([fact["name"] for fact, _ in kept], binary_array([document for _, document in kept]))
        if summariser.states > STATES_AT_ONCE:
            tables.append(_summaries(summariser, facts))
            facts = []
        # Otherwise these would stay in memory while the next part is read.
        del documents, outlines, kept
    file.complete()
    tables.append(_summaries(summariser, facts))
    return replace(reading, table=pa.concat_tables(tables))


def _parts(paths: Iterable[Path], reading: Reading) -> Iterator[list[tuple[dict[str, Any], bytes]]]:
    """Columns and documents of files, in parts that fit in memory; adds the other files to the lists of ``reading``."""
    part: list[tuple[dict[str, Any], bytes]] = []
    size = 0
    for path in paths:
        try:
            part.append(_read(path))
            size += len(part[-1][1])
        except BrokenFileError as error:
            reading.broken.append((str(path), str(error)))
        except _UnnamedError as error:
            reading.unnamed.append(error.unnamed)
        except _OtherFileError:
            reading.others.append(str(path))
        if len(part) == FILES_AT_ONCE or size >= BYTES_AT_ONCE:
            yield part
            part, size = [], 0
    if part:
        yield part


def _summaries(summariser: Summariser, facts: Sequence[dict[str, Any]]) -> pa.Table:
    return summariser.summaries("ingest_summaries", pa.Table.from_pylist(facts, FACTS))


# One for each process: making it takes as long as reading twenty files.
_summariser = cache(Summariser)


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    text = metamon_files.stem(path)
    document = metamon_files.read_document(path)
    try:
        name = metamon_files.parse_name(text)
    except BrokenFileError as error:
        if path.suffix == ".json" and not is_trajectory(document):
            raise _OtherFileError from None
        raise _UnnamedError(Unnamed(str(path), str(error), _digest(document))) from None
    fact = {
        "trajectory_id": text,
        "name": text,
        "source": shown(str(path)),
        "digest": _digest(document),
        "record": metamon_files.record_id(name.record),
        "format": metamon_files.format_of(name.record),
        "rating": name.rating,
        "player": name.player,
        "opponent": name.opponent,
        "named_result": name.result,
        "played_at": name.played_at,
    }
    return fact, document


def _digest(document: bytes) -> str:
    return hashlib.sha256(document).hexdigest()


def read_all(tasks: Sequence[Task]) -> Generator[Reading | None]:
    """The reading of each task when it is done, and None every quarter of a second; a single task runs in this process.

    Raises:
        StoreError: documents could not be written, or a process died.
    """
    if len(tasks) <= 1:
        yield from map(read, tasks)
        return
    readers = [_Reader() for _ in range(min(os.cpu_count() or 1, len(tasks)))]
    waiting = list(reversed(tasks))
    try:
        for reader in readers:
            reader.send(waiting.pop() if waiting else None)
        while busy := [reader for reader in readers if reader.busy]:
            ready = wait([reader.connection for reader in busy], timeout=0.25)
            if not ready:
                yield None
            for reader in [reader for reader in busy if reader.connection in ready]:
                found = reader.receive()
                reader.send(waiting.pop() if waiting else None)
                yield found
    finally:
        for reader in readers:
            reader.end()


class _Reader:
    """A process that carries out one task at a time."""

    def __init__(self) -> None:
        self._process = Child("pokeladder.exchange.readers")
        self.connection = self._process.connection
        self.busy = False

    def send(self, task: Task | None) -> None:
        self.busy = task is not None
        if task is not None:
            with self._death_as_error():
                self._process.send(task)

    def receive(self) -> Reading:
        with self._death_as_error():
            answer = self._process.receive()
        if isinstance(answer, PokeladderError):
            raise answer
        found: Reading = answer
        return found

    @contextmanager
    def _death_as_error(self) -> Iterator[None]:
        try:
            yield
        except EOFError as error:
            raise StoreError(
                f"a process that read trajectories died (status {self._process.status()}); if memory was short, ingest "
                "fewer files at once"
            ) from error

    def end(self) -> None:
        self._process.end()


def main() -> None:
    """Runs in a reading process, which ends with the one that started it."""
    parent = Parent()
    for task in parent.messages():
        try:
            answer: Reading | PokeladderError = read(task)
        except PokeladderError as error:
            answer = error
        parent.send(answer)
