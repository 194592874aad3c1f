"""The views and macros over a store's files: in which order they are made, and their descriptions.

Their texts are in the package ``pokeladder.sql``. The schema ``internal`` has the views that only other views need: the
sources, which read the files, and those of the folder ``internal``.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from itertools import takewhile
from pathlib import Path

import duckdb
from duckdb import ConstantExpression

from pokeladder.query import connections
from pokeladder.query.texts import text

# Of each source its name, and the names and types of its columns.
Columns = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]

# All items, each after those that it reads.
VIEWS = (
    "macros/misplaced",
    "macros/current_rows",
    "views/battles",
    "views/input_logs",
    "views/server_battles",
    "views/runs",
    "views/agent_versions",
    "views/trajectories",
    "views/documents",
    "macros/hundredths",
    "macros/opponent_hp",
    "macros/move_fields",
    "macros/parse_moves",
    "macros/parse_pokemon",
    "views/steps",
    "views/repeated_battles",
    "views/rated_battles",
    "views/results",
    "macros/z95",
    "macros/wilson_centre",
    "macros/wilson_half_width",
    "macros/wilson",
    "views/usage",
    "macros/without_team_set",
    "macros/metamon_file_name",
    "macros/as_exported",
    "views/statistics",
    "macros/elo_rating",
    "macros/elo_change",
    "macros/elo_block",
    "macros/elo_fold",
    "macros/elo_progression_with",
    "views/elo_progression",
    "macros/elo_latest",
    "macros/elo_with",
    "views/elo",
    "internal/matchup_totals",
    "macros/win_chance",
    "macros/solve_linear",
    "macros/logistic",
    "macros/elo_unit",
    "macros/information",
    "macros/rating_components",
    "macros/rating_estimates",
    "macros/ratings_with",
    "views/ratings",
    "internal/agent_order",
    "macros/normal_cdf",
    "macros/elo_of_score",
    "macros/matchups_with",
    "views/matchups",
    "views/cycles",
    "views/side_bias",
    "macros/glicko_attenuation",
    "macros/glicko_update",
    "macros/glicko_after",
    "macros/glicko_fold",
    "macros/glicko_latest",
    "macros/gxe",
    "views/glicko",
)
# Sources whose files of earlier versions have fewer columns (see pokeladder.store.schemas.ADDED).
MIXED = frozenset({"battle_files"})
# Sources whose files are never merged.
WHOLE = frozenset({"run_files", "merge_files", "version_files"})
# Columns by the sources' names and the content of the files that have them.
_known: dict[tuple[tuple[str, bytes], ...], Columns] = {}


def columns_of(sources: Mapping[str, Sequence[str]], connection: duckdb.DuckDBPyConnection | None = None) -> Columns:
    """The columns of the sources.

    Only the files of the first globs are read: they have the columns, and listing the others takes time. DuckDB reads
    them once in a process, unless their content changes.

    Args:
        connection: an open connection, which saves the time to make one.
    """
    contents = tuple((name, _content(globs[0])) for name, globs in sources.items())
    if contents in _known:
        return _known[contents]
    described = []
    with nullcontext(connection) if connection is not None else connections.connect() as reading:
        for name, globs in sources.items():
            # With hive_partitioning a folder named a=b would add a column.
            read = reading.read_parquet(globs[:1], hive_partitioning=False, filename=True)
            described.append((name, tuple(zip(read.columns, map(str, read.types), strict=True))))
    if all(content for _, content in contents):
        _known[contents] = tuple(described)
    return tuple(described)


def _content(pattern: str) -> bytes:
    """The content of files; nothing if one cannot be read, of which DuckDB tells the reason."""
    try:
        # Path.glob takes no absolute pattern.
        return b"".join(Path(path).read_bytes() for path in glob.glob(pattern))  # noqa: PTH207
    except OSError:
        return b""


def create_stand_ins(connection: duckdb.DuckDBPyConnection, columns: Columns) -> None:
    """Makes the schema ``internal`` with empty tables in place of the sources.

    DuckDB lists the files of a source whenever a view over it is made. Views are therefore made over tables, which
    :func:`create_sources` replaces.
    """
    connection.execute("CREATE SCHEMA IF NOT EXISTS internal")
    for source, fields in columns:
        typed = ", ".join(f'"{name}" {kind}' for name, kind in fields)
        connection.execute(f"CREATE TABLE internal.{source} ({typed})")


def view_names(*, internal: bool = False) -> list[str]:
    """The names of all views, qualified where needed.

    Args:
        internal: include the views of the schema ``internal``, without the sources.
    """
    folders = {"views": "", "internal": "internal."} if internal else {"views": ""}
    placed = (item.split("/") for item in VIEWS)
    return [f"{folders[folder]}{name}" for folder, name in placed if folder in folders]


def create_item(connection: duckdb.DuckDBPyConnection, item: str, used: str | None = None) -> None:
    """Makes one of :data:`VIEWS`.

    Args:
        used: an item whose text is used instead.
    """
    folder, name = item.split("/")
    schema = "internal." if folder == "internal" else ""
    made = text(used or item)
    connection.execute(made if folder == "macros" else f"CREATE VIEW {schema}{name} AS {made}")


def create_sources(
    connection: duckdb.DuckDBPyConnection, sources: Mapping[str, Sequence[str]], guard: str | None = None
) -> None:
    """Replaces the tables of :func:`create_stand_ins` by the sources.

    Args:
        guard: a condition on the sources of :data:`WHOLE`; every view reads one of them.
    """
    # The other sources read one of these.
    for name in sorted(sources, key=lambda name: name not in WHOLE):
        connection.execute(f"DROP TABLE internal.{name}")
        files = ConstantExpression(sources[name])
        if name in WHOLE:
            read = f"read_parquet({files}, hive_partitioning := FALSE, filename := TRUE)"
            read += f" WHERE {guard}" if guard else ""
        else:
            read = f"current_rows({files}, {name in MIXED})"
        connection.execute(f"CREATE VIEW internal.{name} AS FROM {read}")


def words(sql: str) -> frozenset[str]:
    """The words of a statement in lower case without those of comments, among them all names that it uses."""
    return frozenset(re.findall(r"\w+", re.sub(r"^--.*", "", sql.lower(), flags=re.MULTILINE)))


def described(item: str) -> tuple[str, dict[str, str]]:
    """The description of a view, and the descriptions of its columns by name, from the head of its file.

    The head has a paragraph, an empty comment line, and an entry for each column or several of them:
    ``-- name, name: text``, with further lines indented. ``*`` means the columns of ``battles``.
    """
    lines = takewhile(lambda line: line.startswith("--"), text(item).split("\n"))
    about, _, columns = "\n".join(line[2:].removeprefix(" ") for line in lines).partition("\n\n")
    told: dict[str, str] = {}
    for entry in re.split(r"\n(?! )", columns):
        names, _, meaning = entry.partition(": ")
        told |= dict.fromkeys(names.split(", "), " ".join(meaning.split()))
    return " ".join(about.split()), told


def describe(connection: duckdb.DuckDBPyConnection) -> None:
    """Puts the descriptions of views and their columns into the catalogue."""
    columns = connection.sql("SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal").fetchall()
    statements = []
    for item in VIEWS:
        folder, view = item.split("/")
        if folder != "macros":
            name = view if folder == "views" else f"internal.{view}"
            about, told = described(item)
            if "*" in told:
                told = described("views/battles")[1] | told
            statements.append(f"COMMENT ON VIEW {name} IS {ConstantExpression(about)}")
            statements += [
                f'COMMENT ON COLUMN {name}."{column}" IS {ConstantExpression(told[column])}'
                for table, column in columns
                if table == view and column in told
            ]
    connection.execute(";".join(statements))
