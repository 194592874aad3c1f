"""Columns and compression of the store's files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import pyarrow as pa

from pokeladder.store.rows import FOLDERS, SINGLE_FILES

_TIME = pa.timestamp("us", tz="UTC")
_ARROW = {"str": pa.string(), "int": pa.int32(), "datetime": _TIME, "Side": pa.string()}
_ARROW |= {"Kind": pa.string(), "Outcome": pa.string(), "float": pa.float64(), "bool": pa.bool_(), "bytes": pa.binary()}
_ARROW |= {"Digest": pa.int64(), "list[str]": pa.list_(pa.string()), "list[int]": pa.list_(pa.int32())}
# Hardly slower than no compression; level 5 would give three quarters of the size in twice the time.
DOCUMENT_LEVEL = 3
# Checksums reveal damaged pages; readers may ignore them.
PLAIN: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}


def _schema(row: type) -> pa.Schema:
    """Column types from a dataclass's annotations, which are strings because of the future import."""
    columns = []
    for column in fields(row):
        kind, _, optional = str(column.type).partition(" | ")
        columns.append(pa.field(column.name, _ARROW[kind], nullable=bool(optional)))
    return pa.schema(columns)


SCHEMAS = {kind: _schema(row) for kind, row in {**FOLDERS, **SINGLE_FILES}.items()}
BATTLE_SCHEMA = SCHEMAS["battles"]
TRAJECTORY_SCHEMA = SCHEMAS["trajectories"]
DOCUMENT_SCHEMA = SCHEMAS["documents"]
PERSPECTIVE_SCHEMA = SCHEMAS["points"]
SERVER_BATTLE_SCHEMA = SCHEMAS["server_battles"]
COMPRESSION = dict.fromkeys(FOLDERS, PLAIN)
COMPRESSION["documents"] = {
    **PLAIN,
    "compression_level": DOCUMENT_LEVEL,
    "use_dictionary": False,
    "write_statistics": ["trajectory_id"],
    # Pages end after a multiple of the batch size, which is 1,024 by default: too many of these large values.
    "write_batch_size": 8,
    "data_page_size": 2 << 20,
}
# The last columns of a kind, which files of version 0.1.0 lack.
ADDED = {"battles": frozenset({"p1_version", "p2_version", "run_seed", "played", "unrecorded"})}


def conformed(table: pa.Table, kind: str) -> pa.Table:
    """The rows of a file of any version, with all columns of this version.

    Args:
        kind: one of :data:`SCHEMAS`.

    Raises:
        pa.ArrowInvalid: no version has these columns.
    """
    schema = SCHEMAS[kind]
    for name in schema.names:
        if name in ADDED.get(kind, ()) and name not in table.column_names:
            table = table.append_column(schema.field(name), pa.nulls(len(table), schema.field(name).type))
    if not table.schema.equals(schema):
        raise pa.ArrowInvalid(f"its columns are not those of {kind}")
    return table


def table_of(rows: Sequence[Any], schema: pa.Schema) -> pa.Table:
    """Dataclasses of :mod:`pokeladder.store.rows` as a table."""
    arrays = [pa.array([getattr(row, field.name) for row in rows], field.type) for field in schema]
    return pa.table(arrays, schema=schema)
