"""Agents that a user has registered in ``agents.toml``, and checkpoints that lie in metamon's folder.

::

    [metamon]                                # for all agents of metamon
    python = "/home/you/metamon/.venv/bin/python"
    checkpoints = "/home/you/metamon_checkpoints"

    [agents.mine]
    kind = "command"
    command = "my-bot --name {username} --url {server} --versus {opponent} --games {battles}"
    roles = ["acceptor"]
"""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from pokeladder.agents import Agent, Listing, checked_name
from pokeladder.checkpoints import ARCHITECTURE, Checkpoint, metamon_program, scan
from pokeladder.errors import AgentError
from pokeladder.programs import BATTLE_SECONDS, START_SECONDS, Limits, Program, expanded, parse_command, parse_roles

KINDS = ("player", "command", "metamon")
COMMON = {
    "kind": str,
    "start_timeout": int | float,
    "battle_timeout": int | float,
    "gpu": bool,
}
OF_PROCESSES = {"roles": list | dict, "environment": dict, "folder": str, "port": int, "fixed_team": bool}
# What may be said for all agents of metamon.
METAMON_KEYS: dict[str, Any] = {
    **OF_PROCESSES,
    "gpu": bool,
    "python": str,
    "checkpoints": str,
    "cache": str,
    **dict.fromkeys(ARCHITECTURE, str),
}
METAMON_KEYS |= {"steps_per_epoch": int, "steps_before": int}
KEYS: dict[str, dict[str, Any]] = {
    "player": {**COMMON, "target": str, "parameters": dict},
    "command": {**COMMON, **OF_PROCESSES, "command": str},
    "metamon": {
        **COMMON,
        "model": str,
        "checkpoint": str,
        "epoch": int,
        "temperature": int | float,
        **METAMON_KEYS,
    },
}
NEEDED = {"player": "target", "command": "command"}
# Loading a large network, or compiling it, takes minutes.
METAMON_START_SECONDS = 600.0


@dataclass(frozen=True)
class Registry:
    """The file and what it says; read anew each time that it is asked.

    Attributes:
        path: the file, which need not exist.
    """

    path: Path

    @classmethod
    def of(cls, store: Path) -> Registry:
        """That of ``$POKELADDER_AGENTS``, else of the store's folder."""
        configured = os.environ.get("POKELADDER_AGENTS")
        return cls(Path(configured) if configured else store / "agents.toml")

    def tables(self) -> dict[str, dict[str, Any]]:
        """The registered agents as they stand there.

        Raises:
            AgentError: the file cannot be read, or says what makes no agent.
        """
        tables: dict[str, dict[str, Any]] = self._read().get("agents", {})
        for name, table in tables.items():
            _check(checked_name(name), table)
        return tables

    def find(self, base: str, name: str, parameters: dict[str, Any]) -> Agent | Program | None:
        """The registered agent or discovered checkpoint ``base``, called ``name``.

        Args:
            parameters: take the place of what is registered: arguments of a player's class, temperature of metamon's.

        Raises:
            AgentError: it cannot be made of what is registered.
        """
        tables = {found.name: _table_of(found) for found in self.checkpoints() if found.name == base} | self.tables()
        return _build(base, name, tables[base], parameters, self.metamon()) if base in tables else None

    def names(self) -> list[str]:
        """Of all registered agents and discovered checkpoints."""
        registered = list(self.tables())
        return registered + [one.name for one in self.checkpoints() if one.name not in registered]

    def metamon(self) -> dict[str, Any]:
        """What goes for all agents of metamon.

        Raises:
            AgentError: the file cannot be read, or says something else there.
        """
        table: dict[str, Any] = self._read().get("metamon", {})
        _check_keys("[metamon]", table, METAMON_KEYS)
        return table

    def checkpoints(self) -> list[Checkpoint]:
        """Those in the folder that ``[metamon]`` names."""
        metamon = self.metamon()
        if "checkpoints" not in metamon:
            return []
        folder = Path(metamon["checkpoints"]).expanduser()
        return scan(folder, metamon.get("steps_per_epoch"), metamon.get("steps_before", 0))

    def add(self, name: str, table: Mapping[str, Any]) -> None:
        """Registers an agent, in place of an earlier one of that name; comments in the file stay.

        Raises:
            AgentError: it cannot play so, or the file cannot be written.
        """
        _check(checked_name(name), table)
        _build(name, name, table, {}, self.metamon())
        document = self._document()
        agents = document.setdefault("agents", tomlkit.table(is_super_table=True))
        made = tomlkit.table()
        made.update(table)
        agents[name] = made
        self._write(document)

    def set_metamon(self, settings: Mapping[str, Any]) -> None:
        """Sets what goes for all agents of metamon.

        Raises:
            AgentError: the file cannot be written.
        """
        _check_keys("[metamon]", settings, METAMON_KEYS)
        document = self._document()
        document.setdefault("metamon", tomlkit.table()).update(settings)
        self._write(document)

    def remove(self, name: str) -> None:
        """Takes an agent out of the file; its battles stay in the store.

        Raises:
            AgentError: it is not there, or the file cannot be written.
        """
        document = self._document()
        if name not in document.get("agents", {}):
            raise AgentError(f"no agent {name} is registered in {self.path}")
        del document["agents"][name]
        self._write(document)

    def listings(self) -> list[Listing]:
        """All of them for people to read, with what is missing."""
        metamon, tables = self.metamon(), self.tables()
        listings = [
            Listing(name, table["kind"], _target(table), _note(name, table, metamon)) for name, table in tables.items()
        ]
        for found in self.checkpoints():
            if found.name not in tables:
                note = f"{found.describe()}; {_note(found.name, _table_of(found), metamon)}"
                listings.append(Listing(found.name, "checkpoint", found.path.name, note))
        return listings

    def _read(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise AgentError(f"cannot read the registry of agents {self.path}: {error}") from error

    def _document(self) -> tomlkit.TOMLDocument:
        try:
            return tomlkit.parse(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return tomlkit.document()
        except (OSError, UnicodeDecodeError, TOMLKitError) as error:
            raise AgentError(f"cannot read the registry of agents {self.path}: {error}") from error

    def _write(self, document: tomlkit.TOMLDocument) -> None:
        staged = self.path.with_name(f".{self.path.name}.tmp")
        try:
            staged.write_text(tomlkit.dumps(document), encoding="utf-8")
            staged.replace(self.path)
        except OSError as error:
            raise AgentError(f"cannot write the registry of agents {self.path}: {error}") from error


def _check(name: str, table: Any) -> None:
    kind = table.get("kind") if isinstance(table, Mapping) else None
    if kind not in KINDS:
        raise AgentError(f"agent {name} is registered with the kind {kind!r}: use one of {', '.join(KINDS)}")
    _check_keys(f"agent {name}", table, KEYS[kind])
    needed = NEEDED.get(kind)
    if needed is not None and needed not in table:
        raise AgentError(f"agent {name} is registered without {needed}")
    if kind == "metamon" and ("model" in table) == ("checkpoint" in table):
        raise AgentError(f"agent {name} needs either a model (one of metamon's own) or a checkpoint (run@epoch)")


def _check_keys(where: str, table: Mapping[str, Any], keys: Mapping[str, Any]) -> None:
    for key, value in table.items():
        if key not in keys:
            raise AgentError(f"{where} is registered with {key}, which nothing reads: there are {', '.join(keys)}")
        if not isinstance(value, keys[key]) or (isinstance(value, bool) and keys[key] is not bool):
            raise AgentError(f"{where} is registered with {key} = {value!r}, which is of the wrong type")


def _build(
    base: str, name: str, table: Mapping[str, Any], parameters: dict[str, Any], metamon: Mapping[str, Any]
) -> Agent | Program:
    kind = table["kind"]
    start = METAMON_START_SECONDS if kind == "metamon" else START_SECONDS
    limits = Limits(table.get("start_timeout", start), table.get("battle_timeout", BATTLE_SECONDS))
    if kind == "player":
        return Agent(
            name, table["target"], {**table.get("parameters", {}), **parameters}, limits, table.get("gpu", False)
        )
    if kind == "metamon":
        return metamon_program(base, name, {**metamon, **table}, parameters, limits)
    if parameters:
        raise AgentError(f"agent {base} is a command and takes no parameters: register another one for {name}")
    return Program(
        name=name,
        kind="command",
        command=parse_command(base, table["command"]),
        roles=parse_roles(base, table.get("roles", ["ladder"])),
        environment={key: str(value) for key, value in table.get("environment", {}).items()},
        folder=expanded(table.get("folder")),
        port=table.get("port"),
        gpu=table.get("gpu", False),
        fixed_team=table.get("fixed_team", False),
        limits=limits,
        plays={"command": table["command"]},
        base=base,
    )


def _target(table: Mapping[str, Any]) -> str:
    return str(table.get("target") or table.get("command") or table.get("checkpoint") or table.get("model"))


def _table_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """What would be registered for a checkpoint that is not."""
    return {"kind": "metamon", "checkpoint": checkpoint.name}


def _note(name: str, table: Mapping[str, Any], metamon: Mapping[str, Any]) -> str:
    """How an agent plays, or what keeps it from that, as far as can be seen without starting it."""
    try:
        agent = _build(name, name, table, {}, metamon)
        if isinstance(agent, Agent):
            agent.load()
            return ""
    except AgentError as error:
        return str(error)
    folder = Path(agent.folder or "")
    if not folder.is_dir():
        return f"there is no folder {folder}"
    program = agent.command[0]
    # A path is relative to the folder that the program runs in.
    found = folder / program if "/" in program else shutil.which(program)
    if found is None or not Path(found).exists():
        return f"there is no program {program}"
    embedded = "embedded, and " if agent.policy is not None else ""
    return f"{embedded}on a server, as {' or '.join(agent.roles)}"
