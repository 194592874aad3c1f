"""Agents that are programs: they log in to a Showdown server and play there."""

from __future__ import annotations

import os
import shlex
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from pokeladder.errors import AgentError

# How an agent enters a battle: it challenges its opponent, accepts the challenge, or searches on the ladder.
Role = Literal["challenger", "acceptor", "ladder"]
ROLES: tuple[Role, ...] = get_args(Role)
PLACEHOLDERS = {
    "username": "the user name to log in as",
    "server": "the server, as ws://127.0.0.1:PORT/showdown/websocket",
    "host": "the server, as 127.0.0.1:PORT",
    "port": "the server's port",
    "format": "the battle format's id",
    "opponent": "the opponent's user name",
    "battles": "the number of battles to play before it exits",
    "role": "challenger, acceptor or ladder, or the program's own word for it",
    "team_dir": "a folder of teams to play with: <format>/*.<format>_team",
    "team_file": "one of these teams",
    "backend": "the value of --battle-backend",
    "work_dir": "an empty folder for the program's files",
}
START_SECONDS = 120.0
BATTLE_SECONDS = 3600.0


@dataclass(frozen=True)
class Limits:
    """Time limits of an agent's process.

    Attributes:
        start_timeout: seconds to log in, and between two battles.
        battle_timeout: seconds of one battle.
    """

    start_timeout: float = START_SECONDS
    battle_timeout: float = BATTLE_SECONDS


@dataclass(frozen=True)
class Program:
    """A program that logs in and plays.

    Attributes:
        kind: command or metamon.
        command: the program and its arguments, with the :data:`PLACEHOLDERS` in braces.
        roles: the roles that it can take, and its own words for them.
        environment: environment variables to set.
        folder: working directory; None for that of pokeladder.
        port: the only port that it can connect to; None if it connects to ``{server}``.
        gpu: whether it uses a GPU.
        fixed_team: whether it keeps the team that it was started with.
        policy: command of its policy server for embedded battles (see ``policy_server.py``), with the placeholders
            {address} and {format}; None if it plays on a server only.
        writes: whether it writes trajectories and battle logs to ``{work_dir}``, as metamon does.
        plays: settings that are part of its identity; the others only affect how it is run.
        base, parameters: the registered name and the parameters by which it was requested.
        files: further files that decide how it plays: the weights of a checkpoint.
    """

    name: str
    kind: Literal["command", "metamon"]
    command: tuple[str, ...]
    roles: Mapping[Role, str]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: str | None = None
    port: int | None = None
    gpu: bool = False
    fixed_team: bool = False
    policy: tuple[str, ...] | None = None
    writes: bool = False
    limits: Limits = field(default_factory=Limits)
    plays: Mapping[str, Any] = field(default_factory=dict)
    base: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[str, ...] = ()

    @property
    def embedded(self) -> bool:
        """Whether it can play on the embedded venue."""
        return self.policy is not None

    def identity(self) -> dict[str, Any]:
        """The settings that identify the agent, as a run stores them."""
        return {
            "name": self.name,
            "kind": self.kind,
            "base": self.base or self.name,
            "parameters": dict(self.parameters),
            "plays": dict(self.plays),
        }

    def policy_command(self, values: Mapping[str, str]) -> list[str]:
        """The command of its policy server, with the placeholders filled in."""
        return [part.format_map(values) for part in self.policy or ()]

    def process_environment(self, gpu: str | None) -> dict[str, str]:
        """The environment variables of its processes; an empty value removes a variable.

        Args:
            gpu: CUDA's name of the GPU to use; None for no choice.
        """
        environment = {"PYTHONUNBUFFERED": "1"}
        if self.kind == "metamon":
            # Its interpreter is another one.
            environment |= {"PYTHONPATH": "", "PYTHONHOME": ""}
        if gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = gpu
        return environment | dict(self.environment)

    def filled_in(self, values: Mapping[str, str]) -> list[str]:
        """The command with the placeholders filled in."""
        return [part.format_map(values) for part in self.command]


def expanded(folder: str | None) -> str | None:
    """The folder, with ``~`` replaced by the home directory."""
    return None if folder is None else str(Path(folder).expanduser())


def parse_command(name: str, text: str) -> tuple[str, ...]:
    """A command line, split as by a shell, with ``~`` replaced by the home directory.

    Raises:
        AgentError: it is empty or malformed, has an unknown placeholder, or none for the user name.
    """
    try:
        parts = tuple(map(os.path.expanduser, shlex.split(text)))
        used = {found for part in parts for _, found, _, _ in string.Formatter().parse(part) if found is not None}
    except ValueError as error:
        raise AgentError(
            f"cannot read the command of agent {name}: {error}; write {{{{ and }}}} for braces that are no placeholder"
        ) from error
    if not parts:
        raise AgentError(f"the command of agent {name} is empty")
    unknown = sorted(used - set(PLACEHOLDERS))
    if unknown:
        known = ", ".join(f"{{{placeholder}}}" for placeholder in PLACEHOLDERS)
        raise AgentError(f"the command of agent {name} has the unknown placeholder {{{unknown[0]}}}: there are {known}")
    if "username" not in used:
        raise AgentError(
            f"the command of agent {name} has no {{username}}: add it, since the program must log in under that name"
        )
    return parts


def parse_roles(name: str, roles: Sequence[str] | Mapping[str, str]) -> dict[Role, str]:
    """The roles of a registered agent, from a list of them or from a mapping to the program's own words.

    Raises:
        AgentError: a role is unknown, or there is none.
    """
    named = dict(roles) if isinstance(roles, Mapping) else {role: role for role in roles}
    unknown = [role for role in named if role not in ROLES]
    if unknown or not named:
        raise AgentError(f"agent {name} has the unknown role {unknown[0]}" if unknown else f"agent {name} has no role")
    return {role: named[role] for role in ROLES if role in named}


def meet(first: Mapping[Role, str], second: Mapping[Role, str]) -> tuple[Role, Role] | None:
    """The roles in which two agents can meet; None if they cannot."""
    if "challenger" in first and "acceptor" in second:
        return "challenger", "acceptor"
    if "acceptor" in first and "challenger" in second:
        return "acceptor", "challenger"
    if "ladder" in first and "ladder" in second:
        return "ladder", "ladder"
    return None
