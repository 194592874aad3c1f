"""``export-filtered``: selects trajectories in SQL and writes a training set for metamon."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pokeladder.errors import InterruptedRunError, StoreError, UsageError
from pokeladder.exchange import selection
from pokeladder.exchange.selection import Exported, Filters
from pokeladder.exchange.training_files import PARQUET_FILE, Target, write_files, write_parquet, write_text
from pokeladder.progress import FileCounter, FileWatch
from pokeladder.query import statements
from pokeladder.query.texts import query_text
from pokeladder.store.files import Store

STATS_FILE = "filtering_stats.json"


def export_filtered(
    store: Store,
    output_dir: Path | None,
    filters: Filters,
    *,
    to: Target,
    overwrite: bool,
    append: bool,
    watch: FileWatch,
) -> Exported:
    """Selects trajectories and writes them; without an output folder it only counts.

    Raises:
        UsageError: the folder has other content, or options contradict each other.
        QueryError: ``where`` is not a condition over ``trajectories``.
        StoreError: a document cannot be read, or a file not written.
        InterruptedRunError: stopped by the user; the same call completes the set.
    """
    if overwrite and append:
        raise UsageError("--overwrite and --append contradict each other: choose one")
    connection = selection.connect(store, filters)
    limit = filters.limit
    if append and output_dir is not None:
        _check_form(output_dir, to)
        limit = _limit(output_dir, filters, to, selection.find_there(connection, output_dir, to))
    else:
        selection.list_there(connection, [])
    selection.select(connection, filters, limit)
    exported = selection.counted(connection, filters)
    if output_dir is None:
        return exported
    files = _files(connection, store.folder / "documents")
    ((store_digest,),) = statements.tuples(connection, "export_store")
    stats = _stats(store, output_dir, filters, to, exported, store_digest)
    table = statements.arrow_table(statements.query(connection, "export_rows")) if to == "parquet" else None
    # Memory that the selection took is needed for the documents.
    connection.close()
    progress = FileCounter(exported.output_count - exported.there, watch)
    with _stopped(output_dir, progress):
        _prepare(output_dir, stats, overwrite=overwrite, append=append)
        if table is not None:
            write_parquet(table, output_dir, files, progress, append=append)
        else:
            write_files(output_dir, files, progress)
        # A set that is marked as complete must be so after a crash of the machine, too.
        os.sync()
        write_text(output_dir / STATS_FILE, json.dumps({**stats, "complete": True}, indent=2))
    progress.tell()
    return exported


@contextmanager
def _stopped(output_dir: Path, progress: FileCounter) -> Iterator[None]:
    """Turns Ctrl-C and errors of the file system into errors that tell how to complete the set."""
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"{progress.done} of {progress.files} trajectories are in {output_dir}: "
            "complete the set with the same command"
        ) from None
    except OSError as error:
        raise StoreError(
            f"cannot write to {output_dir}: {error}; remove the cause, and complete the set with the same command"
        ) from error


def _check_form(output_dir: Path, to: Target) -> None:
    """
    Raises:
        UsageError: the folder was written with another ``to``.
    """
    if _stats_there(output_dir).get("to", to) != to:
        raise UsageError(f"{output_dir} was not written with --to {to}: use the same --to, or name another folder")


def _limit(output_dir: Path, filters: Filters, to: Target, there: int) -> int | None:
    """The limit of added trajectories; the remaining number, if an earlier equal call was stopped."""
    stats = _stats_there(output_dir)
    try:
        goes_on = not stats["complete"] and stats["filters"] == filters.settings() and stats["to"] == to
        return filters.limit if filters.limit is None or not goes_on else max(stats["output_count"] - there, 0)
    except (KeyError, TypeError):
        return filters.limit


def _stats_there(output_dir: Path) -> dict[str, Any]:
    """The content of an earlier call's :data:`STATS_FILE`; empty if there is none."""
    try:
        found = json.loads((output_dir / STATS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _files(connection: duckdb.DuckDBPyConnection, folder: Path) -> list[tuple[Path, pa.Table]]:
    """The files of documents, each with its rows of ``export_files``."""
    table = statements.arrow_table(statements.query(connection, "export_files", {"folder": str(folder)}))
    # Groups of Arrow's group_by are in the order of their hashes where these collide.
    runs = pc.run_end_encode(table.column("file").combine_chunks())
    bounds = pairwise((0, *runs.run_ends.to_pylist()))
    return [
        (Path(file), table.slice(start, end - start))
        for file, (start, end) in zip(runs.values.to_pylist(), bounds, strict=True)
    ]


def _stats(
    store: Store, output_dir: Path, filters: Filters, to: Target, exported: Exported, store_digest: str
) -> dict[str, Any]:
    """The content of :data:`STATS_FILE`, the keys of the former pipeline first."""
    return {
        "input_dir": str(store.folder),
        "output_dir": str(output_dir),
        "input_count": exported.input_count,
        "output_count": exported.output_count,
        "filter_rate": exported.output_count / exported.input_count if exported.input_count else 0.0,
        "filters": filters.settings(),
        "failed_reasons": dict(exported.failed_reasons),
        "removed": dict(exported.removed),
        "results": {"WIN": exported.wins, "LOSS": exported.losses, "TIE": exported.ties},
        "to": to,
        "already_there": exported.there,
        "of_others": exported.of_others,
        "unrecorded": exported.unrecorded,
        "selection_digest": exported.digest,
        "store_digest": store_digest,
        "sql": query_text("export_selection"),
        "pokeladder_version": version("pokeladder"),
        "complete": False,
    }


def _prepare(output_dir: Path, stats: Mapping[str, Any], *, overwrite: bool, append: bool) -> None:
    """Prepares the folder, and writes :data:`STATS_FILE` into it.

    Raises:
        UsageError: the folder has other content.
    """
    if output_dir.exists() and not output_dir.is_dir():
        raise UsageError(f"{output_dir} is a file: name a folder with --output-dir")
    output_dir.mkdir(parents=True, exist_ok=True)
    # Unfinished files of a killed call.
    for path in [*output_dir.glob(".*.tmp"), *output_dir.glob("*/.*.tmp")]:
        path.unlink()
    if any(output_dir.iterdir()) and not append and not overwrite and not _is_the_same(output_dir, stats):
        raise UsageError(
            f"{output_dir} is not empty: replace the trajectories in it with --overwrite, add to them with --append, "
            "or name another folder"
        )
    write_text(output_dir / STATS_FILE, json.dumps(stats, indent=2))
    if overwrite:
        for path in [*output_dir.glob("*/*.json.lz4"), *output_dir.glob(f"*/{PARQUET_FILE}")]:
            path.unlink()


def _is_the_same(output_dir: Path, stats: Mapping[str, Any]) -> bool:
    """Whether an earlier call wrote the same selection to the folder."""
    there = _stats_there(output_dir)
    return all(there.get(key) == stats[key] for key in ("selection_digest", "to"))
