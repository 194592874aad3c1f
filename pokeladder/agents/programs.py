"""Agents that are programs of their own: they log in to a Showdown server and play there."""

from __future__ import annotations

import os
import shlex
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from pokeladder.errors import AgentError

# How an agent comes to a battle: it challenges its opponent, accepts the challenge, or looks for one on the ladder.
Role = Literal["challenger", "acceptor", "ladder"]
ROLES: tuple[Role, ...] = get_args(Role)
PLACEHOLDERS = {
    "username": "the user name to log in as",
    "server": "the server, as ws://127.0.0.1:PORT/showdown/websocket",
    "host": "the server, as 127.0.0.1:PORT",
    "port": "the server's port",
    "format": "the battle format's id",
    "opponent": "the opponent's user name",
    "battles": "how many battles to play before it ends",
    "role": "challenger, acceptor or ladder, in the program's own words",
    "team_dir": "a folder of teams to play with: <format>/*.<format>_team",
    "team_file": "one of them",
    "backend": "what --battle-backend says",
    "work_dir": "an empty folder for what it writes",
}
START_SECONDS = 120.0
BATTLE_SECONDS = 3600.0


@dataclass(frozen=True)
class Limits:
    """How long an agent's process may take.

    Attributes:
        start_timeout: seconds to log in, and then at most between two battles.
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
        roles: those it can take, and what its command line calls them.
        environment: variables to set.
        folder: where it runs; None for where pokeladder does.
        port: the only one that it can reach; None if it goes to ``{server}``.
        gpu: it uses one.
        fixed_team: it can only play the team that it was started with.
        policy: what runs its policy for embedded battles (see ``policy_server.py``), with {address} and {format} to be
            filled in; None if it plays on a server only.
        writes: it leaves trajectories and battle logs in ``{work_dir}``, as metamon does.
        plays: what makes it another agent if it changes; the rest is how it is run.
        base, parameters: what it was named by.
        files: further files that decide how it plays: a checkpoint's weights.
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
        """What tells this agent from another: for the settings of a run."""
        return {
            "name": self.name,
            "kind": self.kind,
            "base": self.base or self.name,
            "parameters": dict(self.parameters),
            "plays": dict(self.plays),
        }

    def policy_command(self, values: Mapping[str, str]) -> list[str]:
        """What runs its policy, with the placeholders filled in."""
        return [part.format_map(values) for part in self.policy or ()]

    def process_environment(self, gpu: str | None) -> dict[str, str]:
        """The variables to set for its processes; an empty one stands for none.

        Args:
            gpu: what CUDA calls the one to use.
        """
        environment = {"PYTHONUNBUFFERED": "1"}
        if self.kind == "metamon":
            # Its interpreter is not this one.
            environment |= {"PYTHONPATH": "", "PYTHONHOME": ""}
        if gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = gpu
        return environment | dict(self.environment)

    def filled_in(self, values: Mapping[str, str]) -> list[str]:
        """The command with the placeholders filled in."""
        return [part.format_map(values) for part in self.command]


def expanded(folder: str | None) -> str | None:
    """The folder with a home directory for ``~``."""
    return None if folder is None else str(Path(folder).expanduser())


def parse_command(name: str, text: str) -> tuple[str, ...]:
    """A command line, split as a shell would, with a home directory for each ``~``.

    Raises:
        AgentError: it is empty or malformed, or has an unknown placeholder, or none for the user name.
    """
    try:
        parts = tuple(map(os.path.expanduser, shlex.split(text)))
        used = {found for part in parts for _, found, _, _ in string.Formatter().parse(part) if found is not None}
    except ValueError as error:
        raise AgentError(
            f"cannot read the command of agent {name}: {error}; double braces that are not ours"
        ) from error
    if not parts:
        raise AgentError(f"the command of agent {name} is empty")
    unknown = sorted(used - set(PLACEHOLDERS))
    if unknown:
        known = ", ".join(f"{{{placeholder}}}" for placeholder in PLACEHOLDERS)
        raise AgentError(f"the command of agent {name} has the unknown placeholder {{{unknown[0]}}}: there are {known}")
    if "username" not in used:
        raise AgentError(
            f"the command of agent {name} has no {{username}}: it must log in under the name that it is given"
        )
    return parts


def parse_roles(name: str, roles: Sequence[str] | Mapping[str, str]) -> dict[Role, str]:
    """The roles that a table of the registry names: a list of them, or what the program calls each.

    Raises:
        AgentError: there is another one, or none.
    """
    named = dict(roles) if isinstance(roles, Mapping) else {role: role for role in roles}
    unknown = [role for role in named if role not in ROLES]
    if unknown or not named:
        raise AgentError(f"agent {name} has the unknown role {unknown[0]}" if unknown else f"agent {name} has no role")
    return {role: named[role] for role in ROLES if role in named}


def meet(first: Mapping[Role, str], second: Mapping[Role, str]) -> tuple[Role, Role] | None:
    """The roles in which two agents come to a battle; None if they cannot."""
    if "challenger" in first and "acceptor" in second:
        return "challenger", "acceptor"
    if "acceptor" in first and "challenger" in second:
        return "acceptor", "challenger"
    if "ladder" in first and "ladder" in second:
        return "ladder", "ladder"
    return None
