"""The documents say what the program does.

`POKELADDER_WRITE_DOCS=1 pytest tests/test_docs.py` rewrites `docs/commands.md` and `docs/sql.md`.
"""

from __future__ import annotations

import os
import re
from dataclasses import fields
from pathlib import Path

import click
import duckdb
from click.testing import CliRunner

import pokeladder
from pokeladder.cli.app import pokeladder as command_line
from pokeladder.store.rows import Perspective

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def reference() -> str:
    runner = CliRunner(env={"COLUMNS": "100", "TERMINAL_WIDTH": "100"})
    context = click.Context(command_line)
    parts = ["# Commands\n\nWhat `--help` says. `pokeladder COMMAND --help` shows one.\n"]
    names = [""]
    for name in command_line.list_commands(context):
        command = command_line.get_command(context, name)
        names += [name, *(f"{name} {below}" for below in getattr(command, "commands", ()))]
    for name in names:
        shown = runner.invoke(command_line, [*name.split(), "--help"], prog_name="pokeladder", terminal_width=100)
        parts.append(f"## pokeladder {name}".rstrip() + f"\n\n```\n{shown.output.strip()}\n```\n")
    return "\n".join(parts)


def test_the_command_reference_is_what_help_says() -> None:
    path = ROOT / "docs" / "commands.md"
    if os.environ.get("POKELADDER_WRITE_DOCS"):
        path.write_text(reference(), encoding="utf-8")
    assert path.read_text(encoding="utf-8") == reference()


SQL = """# Tables and views

The views that `pokeladder sql`, `Ladder.sql` and every DuckDB client on `pokeladder.duckdb` can query. The texts are
the comments in the catalogue: `SELECT view_name, comment FROM duckdb_views()`, `SELECT column_name, comment FROM
duckdb_columns()`. Formats are never mixed: each view rates within a format. The schema `internal` has the views that
only these views read; it may change.

Macros take other settings: `FROM elo_with(k := 16, initial := 1000)`, `FROM ratings_with(prior := 1)`, `FROM
matchups_with(elo0 := 0, elo1 := 20, alpha := 0.05, beta := 0.05)`. `win_chance(100)` is the expected score of an agent
that is 100 Elo above its opponent.
"""
KINDS = {
    "What is stored": (
        "battles",
        "trajectories",
        "steps",
        "documents",
        "input_logs",
        "server_battles",
        "runs",
        "agent_versions",
    ),
    "What counts": ("rated_battles", "repeated_battles", "results"),
    "Who is stronger": ("ratings", "matchups", "cycles"),
    "In the order of battles": ("elo", "elo_progression", "glicko"),
    "Totals": ("statistics", "usage", "side_bias"),
}


def tables(ladder: pokeladder.Ladder) -> str:
    parts = [SQL]
    with duckdb.connect(ladder.store.database, read_only=True) as connection:
        about = dict(
            connection.sql(
                "SELECT view_name, comment FROM duckdb_views() WHERE schema_name = 'main' AND comment IS NOT NULL"
            ).fetchall()
        )
        columns = connection.sql(
            "SELECT table_name, column_name, data_type, comment FROM duckdb_columns()"
            " WHERE schema_name = 'main' AND comment IS NOT NULL ORDER BY table_name, column_index"
        ).fetchall()
    assert sorted(about) == sorted(name for names in KINDS.values() for name in names)
    for heading, names in KINDS.items():
        parts.append(f"## {heading}\n")
        for name in names:
            rows = [(column, kind, meaning) for table, column, kind, meaning in columns if table == name]
            shown = [
                f"| `{column}` | {kind if len(kind) < 30 else re.split(r'[(]', kind)[0]} | {meaning} |"
                for column, kind, meaning in rows
            ]
            head = "| column | type | |\n|---|---|---|\n"
            parts.append(f"### `{name}`\n\n{about[name]}\n\n{head}" + "\n".join(shown) + "\n")
    return "\n".join(parts)


def test_the_table_reference_is_what_the_catalogue_says(ladder: pokeladder.Ladder) -> None:
    path = ROOT / "docs" / "sql.md"
    if os.environ.get("POKELADDER_WRITE_DOCS"):
        path.write_text(tables(ladder), encoding="utf-8")
    assert path.read_text(encoding="utf-8") == tables(ladder)


def test_every_view_and_column_is_described(ladder: pokeladder.Ladder) -> None:
    with duckdb.connect(ladder.store.database, read_only=True) as connection:
        lacking = connection.sql(
            "SELECT table_name, column_name FROM duckdb_columns() JOIN duckdb_views()"
            " ON view_name = table_name AND duckdb_views.schema_name = duckdb_columns.schema_name"
            " WHERE duckdb_views.comment IS NOT NULL AND duckdb_columns.comment IS NULL"
        ).fetchall()
        undescribed = connection.sql(
            "SELECT schema_name, view_name FROM duckdb_views() WHERE comment IS NULL AND NOT internal"
        ).fetchall()
    assert not lacking
    assert set(undescribed) == {("internal", source) for source in ladder.store.files}


def test_the_readme_names_every_view(ladder: pokeladder.Ladder) -> None:
    views = {row[0] for row in ladder.sql("SHOW TABLES").fetchall()}
    named = set(re.findall(r"`(\w+)`", "".join(line for line in README.splitlines() if line.startswith("| "))))
    assert {"battles", "elo"} <= views <= named


def test_the_store_document_names_every_column_of_its_files() -> None:
    """Of those that no view shows as they are."""
    text = (ROOT / "docs" / "store.md").read_text(encoding="utf-8").partition("`internal.perspective_files`")[2]
    assert all(f"`{column.name}`" in text for column in fields(Perspective))


def test_the_readme_python_runs(tmp_path: Path, monkeypatch) -> None:
    """The blocks of Python in the README, on a store of its own."""
    monkeypatch.chdir(tmp_path)
    bot, query, library = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "my_bots.py").write_text(bot)
    monkeypatch.syspath_prepend(str(tmp_path))
    library = library.replace("battles_per_matchup=100", "battles_per_matchup=2").replace(".df()", ".fetchall()")
    exec(library, {})
    exec(query, {})
    assert duckdb.connect("ladder/pokeladder.duckdb", read_only=True).sql("FROM elo").fetchall()
