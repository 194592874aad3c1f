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
        tables, defaults = self._table("agents"), self._table("metamon")
        for name, table in tables.items():
            read_agent(checked_name(name), table, defaults)
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
        table = self._table("metamon")
        read_defaults(table)
        return table

    def checkpoints(self) -> list[Checkpoint]:
        """Those in the folder that ``[metamon]`` names."""
        defaults = read_defaults(self._table("metamon"))
        if defaults.checkpoints is None:
            return []
        return scan(Path(defaults.checkpoints).expanduser(), defaults.steps_per_epoch, defaults.steps_before)

    def add(self, name: str, table: Mapping[str, Any]) -> None:
        """Registers an agent, in place of an earlier one of that name; comments in the file stay.

        Raises:
            AgentError: it cannot play so, its name stands for another agent, or the file cannot be written.
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
        """Sets what goes for all agents of metamon.

        Raises:
            AgentError: the file cannot be written.
        """
        read_defaults(settings)
        with self._changed() as document:
            document.setdefault("metamon", tomlkit.table()).update(settings)

    def remove(self, name: str) -> None:
        """Takes an agent out of the file; its battles stay in the store.

        Raises:
            AgentError: it is not there, or the file cannot be written.
        """
        with self._changed() as document:
            if name not in document.get("agents", {}):
                raise AgentError(f"no agent {name} is registered in {self.path}")
            del document["agents"][name]

    def listings(self) -> list[Listing]:
        """All of them for people to read, with what is missing."""
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
        """Names in the file, whatever it says of them; none if it cannot be read."""
        try:
            return list(self._table("agents"))
        except AgentError:
            return []

    def _other(self, name: str, table: Mapping[str, Any]) -> str | None:
        """What else a name stands for, to follow it; None if there is nothing."""
        other = taken_by(name)
        if other is not None:
            return other
        is_checkpoint = table.get("checkpoint") != name and any(one.name == name for one in self.checkpoints())
        return "is a checkpoint of metamon's" if is_checkpoint else None

    def _table(self, name: str) -> dict[str, Any]:
        table = self._read().get(name, {})
        if not isinstance(table, dict):
            raise AgentError(f"{self.path} says {name} = {table!r:.100}, which is no table: write [{name}]")
        return table

    def _text(self) -> str:
        """What the file says; nothing if there is none.

        Raises:
            AgentError: it cannot be read.
        """
        try:
            # Reading a pipe, say, might never end.
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
        reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        return AgentError(f"cannot read the registry of agents {self.path}: {reason}; mend it, or move it away")

    @contextmanager
    def _changed(self) -> Iterator[tomlkit.TOMLDocument]:
        """What the file says, to be changed; then it is written, whole or not at all. Others wait meanwhile.

        Raises:
            AgentError: it cannot be read or written.
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
    """Writes a file that is whole as soon as it has its name, with the permissions that it had."""
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
    """Of the file that is there, else those that a new one gets."""
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
    """What would be registered for a checkpoint that is not."""
    return {"kind": "metamon", "checkpoint": checkpoint.name}


def _note(name: str, table: Mapping[str, Any], metamon: Mapping[str, Any]) -> str:
    """How an agent plays, or what keeps it from that, as far as can be seen without starting it."""
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
