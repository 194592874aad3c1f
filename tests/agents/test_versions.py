"""Versions of agents: what changes them, and what does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pokeladder.agents.programs import Program
from pokeladder.agents.specs import Agent
from pokeladder.agents.versions import changes, version_of

BOT = "from poke_env.player import RandomPlayer\nfrom {helper} import plan\n\n\nclass Bot(RandomPlayer):\n    pass\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bot that imports a module of its author's by way of a package, and raises if it is itself imported."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "brains").mkdir()
    (tmp_path / "brains" / "__init__.py").write_text("raise SystemExit('imported')\n")
    (tmp_path / "brains" / "plans.py").write_text("from . import depths\n\n\ndef plan():\n    return depths.DEPTH\n")
    (tmp_path / "brains" / "depths.py").write_text("DEPTH = 3\n")
    (tmp_path / "unrelated.py").write_text("")
    (tmp_path / "versioned_bot.py").write_text("raise SystemExit('imported')\n" + BOT.format(helper="brains.plans"))
    return tmp_path


def bot(**parameters: object) -> Agent:
    return Agent("bot", "versioned_bot:Bot", parameters)


def test_the_parts_of_a_player(folder: Path) -> None:
    parts = version_of(bot(depth=2)).parts
    modules = {part for part in parts if part.startswith("module ")}
    assert modules == {
        "module versioned_bot",
        "module brains",
        "module brains.plans",
        "module brains.depths",
    }
    assert parts["parameters"] == '{"depth": "2"}'
    assert "distribution poke-env" in parts


@pytest.mark.parametrize("changed", ["versioned_bot.py", "brains/__init__.py", "brains/plans.py", "brains/depths.py"])
def test_each_module_of_the_author_counts(folder: Path, changed: str) -> None:
    before = version_of(bot())
    assert version_of(bot()).digest == before.digest
    (folder / "unrelated.py").write_text("x = 1\n")
    assert version_of(bot()).digest == before.digest
    with (folder / changed).open("a") as file:
        file.write("# other\n")
    after = version_of(bot())
    assert after.digest != before.digest
    name = changed.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    assert changes(before.parts, after.parts) == [f"module {name} changed"]


def test_parameters_and_the_files_that_they_name_count(folder: Path) -> None:
    weights = folder / "weights.bin"
    weights.write_bytes(b"1")
    before = version_of(bot(weights="weights.bin"))
    weights.write_bytes(b"2")
    after = version_of(bot(weights="weights.bin"))
    assert changes(before.parts, after.parts) == ["file weights.bin changed"]
    (told,) = changes(version_of(bot(depth=1)).parts, version_of(bot(depth=2)).parts)
    assert told == """parameters was {"depth": "1"} and is {"depth": "2"}"""


def test_where_the_code_lies_does_not_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = version_of(bot()).digest
    moved = folder.rename(folder.with_name("elsewhere"))
    monkeypatch.chdir(moved)
    assert version_of(bot()).digest == before


def test_built_in_agents_are_known_by_the_version_of_poke_env() -> None:
    parts = version_of(Agent("random", "poke_env.player:RandomPlayer")).parts
    assert set(parts) == {"target", "parameters", "distribution poke-env"}


def test_a_class_without_a_file_is_known_by_its_source() -> None:
    """As in a notebook, where a class is defined again with other code under the same name."""
    script = (
        "import sys\n"
        "from pokeladder.agents.specs import Agent\n"
        "from pokeladder.agents.versions import version_of\n"
        "found = []\n"
        "for depth in '112':\n"
        "    exec(f'class Bot:\\n    def choose(self):\\n        return {depth}\\n')\n"
        "    found.append(version_of(Agent('Bot', Bot)).digest)\n"
        "print(*found)\n"
    )
    made = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    first, same, other = made.stdout.split()
    assert first == same
    assert other != first


def test_the_file_of_a_program_counts(folder: Path) -> None:
    script = folder / "play.py"
    script.write_text("import strategy\n")
    (folder / "strategy.py").write_text("DEPTH = 1\n")
    program = Program("mine", "command", ("python3", "play.py", "{username}"), {"ladder": "ladder"}, folder=str(folder))
    before = version_of(program)
    assert set(before.parts) == {"file play.py", "module strategy"}
    (folder / "strategy.py").write_text("DEPTH = 2\n")
    assert changes(before.parts, version_of(program).parts) == ["module strategy changed"]
    executable = folder / "mybot"
    executable.write_bytes(b"\x7fELF1")
    program = Program("mine", "command", ("./mybot", "{username}"), {"ladder": "ladder"}, folder=str(folder))
    before = version_of(program)
    executable.write_bytes(b"\x7fELF2")
    assert changes(before.parts, version_of(program).parts) == ["file mybot changed"]


def test_what_is_not_there_is_said_so(folder: Path) -> None:
    assert version_of(Agent("gone", "no_such_module:Bot")).parts["module no_such_module"] == "not found"


def test_a_module_of_the_standard_library_or_that_is_installed_does_not_count(folder: Path) -> None:
    (folder / "versioned_bot.py").write_text("import json, numpy\nfrom click import echo\n")
    assert {part for part in version_of(bot()).parts if part.startswith("module ")} == {"module versioned_bot"}
