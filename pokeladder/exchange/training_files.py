"""Files of a training set: reads documents of the store in parts, and writes them for metamon or as Parquet."""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Literal

import lz4.frame
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pokeladder.errors import StoreError, UsageError
from pokeladder.progress import FileCounter

PARQUET_FILE = "trajectories.parquet"
WATCH_SECONDS = 0.25
# Size of the parts in which documents are read.
PART_BYTES = 4 << 20
# Each thread holds a page of documents, 32 MB in files of earlier versions, so that a few trajectories get one thread.
THREADS = 4
FEW = 2000
_KEY = ["document_file", "trajectory_id"]
# Most documents are one block: a third faster than in small ones.
LZ4_BLOCK = lz4.frame.BLOCKSIZE_MAX1MB
Target = Literal["metamon", "parquet"]


def write_files(output_dir: Path, files: Sequence[tuple[Path, pa.Table]], progress: FileCounter) -> None:
    """Writes one file for each trajectory, in several threads."""
    for folder in {name for _, chosen in files for name in chosen.column("format").unique().to_pylist()}:
        (output_dir / folder).mkdir(exist_ok=True)
    stopped = threading.Event()

    def write(path: Path, chosen: pa.Table) -> None:
        # Text, since pathlib would take as long as the compression.
        places = dict(zip(_keys(chosen), _columns(chosen, ["format", "file_name"]), strict=True))
        for documents in _documents(path, places):
            for key, document in documents:
                if stopped.is_set():
                    return
                folder, name = places[key]
                _write_bytes(f"{output_dir}/{folder}", name, lz4.frame.compress(document, block_size=LZ4_BLOCK))
            progress.add(len(documents))

    threads = min(THREADS, os.cpu_count() or 1) if progress.files > FEW else 1
    with ThreadPoolExecutor(threads) as pool:
        running = {pool.submit(write, *file) for file in files}
        try:
            while running:
                done, running = wait(running, WATCH_SECONDS)
                for future in done:
                    future.result()
                progress.tell()
        except BaseException:
            stopped.set()
            raise


def write_parquet(
    selected: pa.Table,
    output_dir: Path,
    files: Sequence[tuple[Path, pa.Table]],
    progress: FileCounter,
    *,
    append: bool,
) -> None:
    """Writes one Parquet file for each format: the columns of ``trajectories``, and the document as text.

    Args:
        selected: the rows of the selection.
        append: keep the rows of existing files.
    """
    formats = sorted(set(selected.column("format").to_pylist()))
    rows = {key: number for number, key in enumerate(_keys(selected))}
    schema = selected.schema.append(pa.field("document", pa.string()))
    paths = {name: output_dir / name / PARQUET_FILE for name in formats}
    staged = {name: path.with_name(f".{path.name}.tmp") for name, path in paths.items()}
    for path in paths.values():
        path.parent.mkdir(exist_ok=True)
    writers = {name: pq.ParquetWriter(path, schema, compression="zstd") for name, path in staged.items()}
    try:
        for name in formats if append else ():
            for table in _rows_there(paths[name], schema):
                writers[name].write_table(table)
        for path, chosen in files:
            for documents in _documents(path, set(_keys(chosen))):
                part = selected.take([rows[key] for key, _ in documents])
                part = part.append_column(
                    schema.field("document"), [[bytes(document).decode() for _, document in documents]]
                )
                for name in formats:
                    of_format = part.filter(pc.equal(part.column("format"), name))
                    if len(of_format):
                        writers[name].write_table(of_format)
                progress.add(len(documents))
                progress.tell()
        for name, writer in writers.items():
            writer.close()
            staged[name].rename(paths[name])
    except BaseException:
        for name, writer in writers.items():
            with suppress(OSError):
                writer.close()
            staged[name].unlink(missing_ok=True)
        raise


def _rows_there(path: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of an earlier export to Parquet, if there is one; missing columns are NULL.

    Raises:
        UsageError: the file has other columns.
    """
    if not path.exists():
        return
    with pq.ParquetFile(path) as file:
        if not set(file.schema_arrow.names) <= set(schema.names):
            raise UsageError(f"{path} has columns of its own and cannot be added to: name another folder")
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            columns = [
                table.column(column.name).cast(column.type)
                if column.name in table.column_names
                else pa.nulls(len(table), column.type)
                for column in schema
            ]
            yield pa.table(columns, schema=schema)


def _keys(table: pa.Table) -> list[tuple[str, ...]]:
    """The keys of documents. The id of a trajectory is not enough: a killed process may have left a second document."""
    return _columns(table, _KEY)


def _columns(table: pa.Table, names: Sequence[str]) -> list[tuple[str, ...]]:
    return list(zip(*(table.column(name).to_pylist() for name in names), strict=True))


def _documents(path: Path, wanted: Collection[tuple[str, ...]]) -> Iterator[list[tuple[tuple[str, ...], memoryview]]]:
    """Keys and documents of the wanted trajectories in a file of documents, in parts.

    Raises:
        StoreError: the file is missing or broken, or lacks one of the documents.
    """
    lacking = set(wanted)
    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                keys = _keys(file.read_row_group(group, _KEY, use_threads=False))
                places = [place for place, key in enumerate(keys) if key in wanted]
                if not places:
                    continue
                lacking.difference_update(keys)
                size = max(1, PART_BYTES * len(keys) // max(1, file.metadata.row_group(group).total_byte_size))
                begin = 0
                for batch in file.iter_batches(size, [group], ["document"], use_threads=False):
                    end = begin + len(batch)
                    here = places[bisect_left(places, begin) : bisect_left(places, end)]
                    if here:
                        documents = _views(batch.column(0))
                        yield [(keys[place], documents[place - begin]) for place in here]
                    begin = end
                    if end > places[-1]:
                        break
    except (FileNotFoundError, pa.ArrowException) as error:
        raise StoreError(
            f"the documents in {path} cannot be read: {error}; `pokeladder check --repair` sets them aside"
        ) from error
    if lacking:
        raise StoreError(
            f"{path} lacks documents of {len(lacking)} selected trajectories; "
            "`pokeladder check --repair` sets such trajectories aside"
        )


def _views(column: pa.Array) -> list[memoryview]:
    """The values of a binary array without copies."""
    _, offsets, data = column.buffers()
    bounds = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1].tolist()
    content = memoryview(data)
    return [content[begin:end] for begin, end in pairwise(bounds)]


def _write_bytes(folder: str, name: str, content: bytes) -> None:
    """Writes a file atomically."""
    staged = f"{folder}/.{name}.tmp"
    try:
        file = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(file, rest) :]
        finally:
            os.close(file)
        os.replace(staged, f"{folder}/{name}")  # noqa: PTH105
    except BaseException:
        with suppress(OSError):
            os.unlink(staged)  # noqa: PTH108
        raise


def write_text(path: Path, text: str) -> None:
    _write_bytes(str(path.parent), path.name, f"{text}\n".encode())
