"""Which columns the store's files have, and how they are compressed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import pyarrow as pa

from pokeladder.store.rows import AgentVersion, Battle, Document, Merge, Perspective, Run, ServerBattle, Trajectory

_TIME = pa.timestamp("us", tz="UTC")
_ARROW = {"str": pa.string(), "int": pa.int32(), "datetime": _TIME, "Side": pa.string()}
_ARROW |= {"Kind": pa.string(), "Outcome": pa.string(), "float": pa.float64(), "bool": pa.bool_(), "bytes": pa.binary()}
_ARROW |= {"Digest": pa.int64(), "list[str]": pa.list_(pa.string()), "list[int]": pa.list_(pa.int32())}
# Takes hardly longer than no compression; 5 would leave three quarters of the size, and take twice as long.
DOCUMENT_LEVEL = 3
# Checksums tell a damaged page from a whole one; readers may leave them alone.
PLAIN: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}


def _schema(row: type) -> pa.Schema:
    """Column types from a dataclass's annotations, which are strings here."""
    columns = []
    for column in fields(row):
        kind, _, optional = str(column.type).partition(" | ")
        columns.append(pa.field(column.name, _ARROW[kind], nullable=bool(optional)))
    return pa.schema(columns)


BATTLE_SCHEMA = _schema(Battle)
RUN_SCHEMA = _schema(Run)
TRAJECTORY_SCHEMA = _schema(Trajectory)
DOCUMENT_SCHEMA = _schema(Document)
PERSPECTIVE_SCHEMA = _schema(Perspective)
SERVER_BATTLE_SCHEMA = _schema(ServerBattle)
MERGE_SCHEMA = _schema(Merge)
VERSION_SCHEMA = _schema(AgentVersion)
# Those of which a store has a folder for each run.
FOLDERS = {
    "battles": BATTLE_SCHEMA,
    "trajectories": TRAJECTORY_SCHEMA,
    "documents": DOCUMENT_SCHEMA,
    "points": PERSPECTIVE_SCHEMA,
    "server_battles": SERVER_BATTLE_SCHEMA,
}
COMPRESSION = dict.fromkeys(FOLDERS, PLAIN)
COMPRESSION["documents"] = {
    **PLAIN,
    "compression_level": DOCUMENT_LEVEL,
    "use_dictionary": False,
    "write_statistics": ["trajectory_id"],
    # Documents are large: without the first, pages would not end before 1,024 of them.
    "write_batch_size": 8,
    "data_page_size": 2 << 20,
}
# Those with files of runs side by side.
SINGLE_FILES = {"runs": RUN_SCHEMA, "merges": MERGE_SCHEMA, "versions": VERSION_SCHEMA}
SCHEMAS = {**FOLDERS, **SINGLE_FILES}
# Columns, the last of their kind, that files of version 0.1.0 lack.
ADDED = {"battles": frozenset({"p1_version", "p2_version", "run_seed", "played", "unrecorded"})}


def conformed(table: pa.Table, kind: str) -> pa.Table:
    """The rows of a file of this version or an earlier one, with all columns of this version.

    Args:
        kind: one of the :data:`FOLDERS` or :data:`SINGLE_FILES`.

    Raises:
        pa.ArrowInvalid: the columns are those of no version.
    """
    schema = SCHEMAS[kind]
    for name in schema.names:
        if name in ADDED.get(kind, ()) and name not in table.column_names:
            table = table.append_column(schema.field(name), pa.nulls(len(table), schema.field(name).type))
    if not table.schema.equals(schema):
        raise pa.ArrowInvalid(f"its columns are not those of {kind}")
    return table


def table_of(rows: Sequence[Any], schema: pa.Schema) -> pa.Table:
    """Rows, dataclasses of :mod:`pokeladder.records`, as a table."""
    arrays = [pa.array([getattr(row, field.name) for row in rows], field.type) for field in schema]
    return pa.table(arrays, schema=schema)
