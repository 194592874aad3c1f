"""Agents that a user has registered in ``agents.toml``, and checkpoints found in metamon's folder.

::

    [metamon]                                # defaults of all agents of metamon
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
import stat
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from filelock import FileLock
from tomlkit.exceptions import TOMLKitError

from pokeladder.agents.modules import what_is_missing
from pokeladder.agents.programs import Limits, Program, expanded, parse_command, parse_roles
from pokeladder.agents.specs import Agent, Listing, checked_name, taken_by
from pokeladder.agents.tables import MetamonTable, PlayerTable, read_agent, read_defaults
from pokeladder.errors import AgentError
from pokeladder.metamon.checkpoints import Checkpoint, metamon_program, scan


@dataclass(frozen=True)
class Registry:
    """The file ``agents.toml``, which each method reads anew.

    Attributes:
        path: path of the file, which need not exist.
    """

    path: Path

    @classmethod
    def of(cls, store: Path) -> Registry:
        """The registry of ``$POKELADDER_AGENTS``, else the one in the store's folder."""
        configured = os.environ.get("POKELADDER_AGENTS")
        return cls(Path(configured) if configured else store / "agents.toml")

    def tables(self) -> dict[str, dict[str, Any]]:
        """The tables of the registered agents, by name.

        Raises:
            AgentError: the file cannot be read, or a table is not valid.
        """
        tables, defaults = self._table("agents"), self._table("metamon")
        for name, table in tables.items():
            read_agent(checked_name(name), table, defaults)
        return tables

    def find(self, base: str, name: str, parameters: dict[str, Any]) -> Agent | Program | None:
        """The registered agent or discovered checkpoint ``base``, called ``name``.

        Args:
            parameters: override registered values: arguments of a player's class, the temperature of a checkpoint.

        Raises:
            AgentError: a table or a parameter is not valid.
        """
        tables = {found.name: _table_of(found) for found in self.checkpoints() if found.name == base} | self.tables()
        return _build(base, name, tables[base], parameters, self.metamon()) if base in tables else None

    def names(self) -> list[str]:
        """Names of all registered agents and discovered checkpoints."""
        registered = list(self.tables())
        return registered + [one.name for one in self.checkpoints() if one.name not in registered]

    def metamon(self) -> dict[str, Any]:
        """The table ``[metamon]``: defaults of all agents of metamon.

        Raises:
            AgentError: the file cannot be read, or the table is not valid.
        """
        table = self._table("metamon")
        read_defaults(table)
        return table

    def checkpoints(self) -> list[Checkpoint]:
        """The checkpoints in the folder that ``[metamon]`` names."""
        defaults = read_defaults(self._table("metamon"))
        if defaults.checkpoints is None:
            return []
        return scan(Path(defaults.checkpoints).expanduser(), defaults.steps_per_epoch, defaults.steps_before)

    def add(self, name: str, table: Mapping[str, Any]) -> None:
        """Registers an agent, or replaces the registered one of the same name; comments in the file stay.

        Raises:
            AgentError: the table is not valid, the name is taken, or the file cannot be written.
        """
        read_agent(checked_name(name), table, self.metamon())
        other = self._other(name, table)
        if other is not None:
            raise AgentError(f"{name} {other}: register it under another name")
        with self._changed() as document:
            _build(name, name, table, {}, self.metamon())
            agents = document.setdefault("agents", tomlkit.table(is_super_table=True))
            made = tomlkit.table()
            made.update(table)
            agents[name] = made

    def set_metamon(self, settings: Mapping[str, Any]) -> None:
        """Sets keys of the table ``[metamon]``.

        Raises:
            AgentError: a value is not valid, or the file cannot be written.
        """
        read_defaults(settings)
        with self._changed() as document:
            document.setdefault("metamon", tomlkit.table()).update(settings)

    def remove(self, name: str) -> None:
        """Removes an agent from the file; its battles stay in the store.

        Raises:
            AgentError: the agent is not registered, or the file cannot be written.
        """
        with self._changed() as document:
            if name not in document.get("agents", {}):
                raise AgentError(f"no agent {name} is registered in {self.path}")
            del document["agents"][name]

    def listings(self) -> list[Listing]:
        """All agents and checkpoints for a table, with remarks on those that cannot play."""
        metamon, tables = self.metamon(), self.tables()
        listings = []
        for name, table in tables.items():
            other = self._other(name, table)
            note = (
                _note(name, table, metamon)
                if other is None
                else f"cannot play: {name} {other}; register it under another name"
            )
            listings.append(Listing(name, table["kind"], _target(table), note))
        for found in self.checkpoints():
            if found.name not in tables:
                note = f"{found.describe()}; {_note(found.name, _table_of(found), metamon)}"
                listings.append(Listing(found.name, "checkpoint", found.path.name, note))
        return listings

    def registered(self) -> list[str]:
        """Names in the file, without checking their tables; empty if the file cannot be read."""
        try:
            return list(self._table("agents"))
        except AgentError:
            return []

    def _other(self, name: str, table: Mapping[str, Any]) -> str | None:
        """A clause that says what else has this name; None if nothing has."""
        other = taken_by(name)
        if other is not None:
            return other
        is_checkpoint = table.get("checkpoint") != name and any(one.name == name for one in self.checkpoints())
        return "is a checkpoint of metamon's" if is_checkpoint else None

    def _table(self, name: str) -> dict[str, Any]:
        table = self._read().get(name, {})
        if not isinstance(table, dict):
            raise AgentError(f"{self.path}: {name} = {table!r:.100} is not a table: write [{name}]")
        return table

    def _text(self) -> str:
        """The content of the file; empty if there is none.

        Raises:
            AgentError: the file cannot be read.
        """
        try:
            # Reading something else, a pipe for example, might never end.
            if not stat.S_ISREG(self.path.stat().st_mode):
                raise AgentError(f"cannot read the registry of agents {self.path}: it is not a file")
            return self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise self._unreadable(error) from error

    def _read(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self._text())
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> AgentError:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        return AgentError(f"cannot read the registry of agents {self.path}: {reason}; correct it, or move it away")

    @contextmanager
    def _changed(self) -> Iterator[tomlkit.TOMLDocument]:
        """The parsed file, to be changed in the block; then it is written atomically. Other processes wait.

        Raises:
            AgentError: the file cannot be read or written.
        """
        # A link stays one.
        path = Path(os.path.realpath(self.path))
        try:
            with FileLock(path.with_name(f".{path.name}.lock")):
                try:
                    document = tomlkit.parse(self._text())
                except (TOMLKitError, RecursionError) as error:
                    raise self._unreadable(error) from error
                for name in ("agents", "metamon"):
                    self._table(name)
                yield document
                _replace(path, tomlkit.dumps(document))
        except (OSError, NotImplementedError) as error:
            raise AgentError(
                f"cannot write the registry of agents {self.path}: {error}; nothing was changed"
            ) from error


def _replace(path: Path, text: str) -> None:
    """Replaces a file atomically, and keeps its permissions."""
    descriptor, staged = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), _permissions(path))
            os.fsync(file.fileno())
        Path(staged).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(staged).unlink()
        raise


def _permissions(path: Path) -> int:
    """Permissions of the existing file, or those of a new one."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _build(
    base: str, name: str, table: Mapping[str, Any], parameters: dict[str, Any], defaults: Mapping[str, Any]
) -> Agent | Program:
    read = read_agent(base, table, defaults)
    limits = Limits(read.start_timeout, read.battle_timeout)
    if isinstance(read, PlayerTable):
        return Agent(name, read.target, {**read.parameters, **parameters}, limits, read.gpu)
    if isinstance(read, MetamonTable):
        return metamon_program(base, name, read, parameters, limits)
    if parameters:
        raise AgentError(f"agent {base} is a command and takes no parameters: register another one for {name}")
    return Program(
        name=name,
        kind="command",
        command=parse_command(base, read.command),
        roles=parse_roles(base, read.roles),
        environment=read.variables(),
        folder=expanded(read.folder),
        port=read.port,
        gpu=read.gpu,
        fixed_team=read.fixed_team,
        limits=limits,
        plays={"command": read.command},
        base=base,
    )


def _target(table: Mapping[str, Any]) -> str:
    return str(table.get("target") or table.get("command") or table.get("checkpoint") or table.get("model"))


def _table_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """The table of a checkpoint that is not registered."""
    return {"kind": "metamon", "checkpoint": checkpoint.name}


def _note(name: str, table: Mapping[str, Any], metamon: Mapping[str, Any]) -> str:
    """Where an agent can play, or why it cannot, as far as files show."""
    try:
        agent = _build(name, name, table, {}, metamon)
        if isinstance(agent, Agent):
            missing = what_is_missing(agent.target)
            return "" if missing is None else f"agent {name}: {missing}"
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
