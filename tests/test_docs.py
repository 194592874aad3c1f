"""The documents say what the program does.

`POKELADDER_WRITE_DOCS=1 pytest tests/test_docs.py` rewrites the command reference.
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
from pokeladder.records import Battle, Point, Run, ServerBattle, Trajectory

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


def test_the_readme_names_every_view(ladder: pokeladder.Ladder) -> None:
    views = {row[0] for row in ladder.sql("SHOW TABLES").fetchall()} - set(ladder.store.files)
    named = set(re.findall(r"`(\w+)`", "".join(line for line in README.splitlines() if line.startswith("| `"))))
    assert {"battles", "elo"} <= views <= named


def test_the_store_document_names_every_column() -> None:
    """Each in what is said of its table."""
    text = (ROOT / "docs" / "store.md").read_text(encoding="utf-8").partition("\n## Columns")[2]
    told = {part.split("`")[1]: part for part in re.split(r"\n\n(?=`\w+`)", text)[1:]}
    told["battles"] += told["input_logs"]
    tables = {"battles": Battle, "runs": Run, "trajectories": Trajectory, "point_files": Point}
    for table, record in {**tables, "server_battles": ServerBattle}.items():
        for column in fields(record):
            assert f"`{column.name}`" in told[table], (table, column.name)


def test_the_readme_python_runs(tmp_path: Path, monkeypatch) -> None:
    """The blocks of Python in the README, on a store of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_bots.py").write_text(
        "from poke_env.player import RandomPlayer\n"
        "class Search(RandomPlayer):\n"
        "    def __init__(self, depth=2, **kwargs):\n"
        "        super().__init__(**kwargs)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    query, library = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    library = library.replace("battles_per_matchup=100", "battles_per_matchup=2").replace(".df()", ".fetchall()")
    exec(library, {})
    exec(query, {})
    assert duckdb.connect("ladder/pokeladder.duckdb", read_only=True).sql("FROM elo").fetchall()
