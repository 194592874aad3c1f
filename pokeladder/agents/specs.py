"""Naming and finding agents."""

from __future__ import annotations

import ast
import importlib
import inspect
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pokeladder.agents.programs import ROLES, Limits, Program, Role
from pokeladder.errors import AgentError
from pokeladder.names import RULE, is_name
from pokeladder.system.processes import REPEATABLE

ENTRY_POINT_GROUP = "pokeladder.agents"
BUILT_IN = {
    "random": "poke_env.player:RandomPlayer",
    "max-power": "poke_env.player:MaxBasePowerPlayer",
    "heuristics": "poke_env.player:SimpleHeuristicsPlayer",
}
DESCRIPTIONS = {
    "random": "any legal choice, all equally likely",
    "max-power": "the move with the highest base power",
    "heuristics": "rules for matchups and switches",
}


@dataclass(frozen=True)
class Agent:
    """An agent that is a poke-env player.

    Attributes:
        name: its name in the store.
        target: a ``Player`` subclass, a callable that returns a ``Player``, or ``module:attribute`` of one.
        parameters: keyword arguments for ``target``.
        limits: time limits on the server venue, where it has a process of its own.
        gpu: whether it uses a GPU.
    """

    name: str
    target: Any
    parameters: dict[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    gpu: bool = False
    # The attributes of :class:`~pokeladder.agents.programs.Program` that do not depend on the agent here.
    roles: ClassVar[Mapping[Role, str]] = {role: role for role in ROLES}
    folder: ClassVar[str | None] = None
    port: ClassVar[int | None] = None
    fixed_team: ClassVar[bool] = False
    writes: ClassVar[bool] = False
    embedded: ClassVar[bool] = True

    def load(self) -> Any:
        """The class or callable that makes the player.

        Raises:
            AgentError: the module cannot be imported, has no such attribute, or the attribute is not callable.
        """
        found = _import(self.target) if isinstance(self.target, str) else self.target
        if not callable(found):
            raise AgentError(f"agent {self.name}: {self.target} is not a poke-env Player class")
        if inspect.isabstract(found):
            missing = ", ".join(sorted(found.__abstractmethods__))
            raise AgentError(f"agent {self.name}: {self.target} does not define {missing}")
        return found

    def process_environment(self, gpu: str | None) -> dict[str, str]:
        """The environment variables of its process on the server venue.

        Args:
            gpu: CUDA's name of the GPU to use; None for no choice.
        """
        return {**REPEATABLE, **({"CUDA_VISIBLE_DEVICES": gpu} if gpu is not None else {})}

    def identity(self) -> dict[str, Any]:
        """The settings that identify the agent, as a run stores them."""
        target = self.target if isinstance(self.target, str) else f"{self.target.__module__}:{self.target.__qualname__}"
        parameters = {key: repr(value) for key, value in sorted(self.parameters.items())}
        return {"name": self.name, "target": target, "parameters": parameters}


@dataclass(frozen=True)
class Listing:
    """A row of the table of agents."""

    name: str
    kind: str
    target: str
    note: str


class Directory(Protocol):
    """Finds registered and discovered agents, as :class:`pokeladder.registry.Registry` does."""

    def find(self, base: str, name: str, parameters: dict[str, Any]) -> Agent | Program | None:
        """The agent ``base`` with these parameters and the name ``name``; None if there is none."""

    def names(self) -> list[str]:
        """Names of all agents."""

    def registered(self) -> list[str]:
        """Names of registered agents; empty if they cannot be read."""


def parse_agent(text: str, directory: Directory | None = None) -> Agent | Program:
    """Parses ``NAME`` or ``package.module:Class``, followed by ``,key=value`` for each parameter.

    Values are Python literals, otherwise strings. ``name=TEXT`` renames the agent; without it the parameters
    become part of the name, so that two variants of one class are two agents.

    Args:
        directory: finds names that are neither built in nor of an installed package.

    Raises:
        AgentError: the text is malformed, or there is no such agent.
    """
    try:
        lexer = shlex.shlex(text, posix=True)
        lexer.whitespace, lexer.whitespace_split, lexer.commenters = ",", True, ""
        base, *settings = list(lexer)
    except ValueError as error:
        raise AgentError(f"cannot read agent {text!r}: {error}; write NAME,key=value,...") from error
    parameters: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip().isidentifier():
            raise AgentError(f"cannot read {setting!r} in agent {text!r}: write key=value")
        parameters[key.strip()] = value if key.strip() == "name" else literal(value)
    name = parameters.pop("name", None)
    base = base.strip()
    if name is None:
        name = base.rpartition(":")[2]
        if parameters:
            name += "(" + ",".join(f"{key}={value}" for key, value in parameters.items()) + ")"
            if not is_name(name):
                raise AgentError(f"{name!r:.200} cannot be an agent's name: {RULE}; add ,name=NAME to {text!r:.200}")
    checked_name(name)
    target = _target(base)
    if target is not None:
        if directory is not None and base in directory.registered():
            raise AgentError(
                f"two agents are called {base}: it {taken_by(base)}, and it is registered: "
                f"`pokeladder agents remove {base}`, or call the registered one something else in agents.toml"
            )
        return Agent(name, target, parameters)
    found = directory.find(base, name, parameters) if directory is not None else None
    if found is None:
        known = ", ".join([*BUILT_IN, *sorted(_entry_points()), *(directory.names() if directory is not None else [])])
        raise AgentError(f"unknown agent {base}: use one of {known}, or package.module:Class of a poke-env Player")
    return found


def as_agent(agent: Any, directory: Directory | None = None) -> Agent | Program:
    """An agent from text, a ``Player`` class, or an agent.

    Raises:
        AgentError: it is something else, for example an instance of ``Player``.
    """
    if isinstance(agent, Agent | Program):
        checked_name(agent.name)
        return agent
    if isinstance(agent, str):
        return parse_agent(agent, directory)
    if inspect.isclass(agent):
        return Agent(checked_name(agent.__name__), agent)
    raise AgentError(
        f"{agent!r} is not an agent: pass a name, a Player class, or pokeladder.Agent(name, class, parameters); "
        "a Player that is already built cannot be copied to other processes"
    )


def as_agents(agents: Iterable[Any], directory: Directory | None = None) -> list[Agent | Program]:
    """Agents from all that :func:`as_agent` takes.

    Raises:
        AgentError: one is not an agent, or two have the same name.
    """
    known: dict[str, Agent | Program] = {}
    for given in agents:
        agent = as_agent(given, directory)
        if agent.name in known:
            raise AgentError(f"two agents are called {agent.name}: rename one with {agent.name},name=...")
        known[agent.name] = agent
    return list(known.values())


def list_agents() -> list[Listing]:
    """Built-in agents and those of installed packages, by name."""
    built_in = [Listing(name, "built in", target, DESCRIPTIONS[name]) for name, target in BUILT_IN.items()]
    installed = [
        Listing(point.name, "installed", point.value, _origin(point))
        for point in {(point.name, point.value): point for point in _points()}.values()
    ]
    return built_in + sorted(installed, key=lambda listing: listing.name)


def _origin(point: EntryPoint) -> str:
    origin = f"from {point.dist.name if point.dist else 'an unknown package'}"
    return f"{origin}; not played: {point.name} is built in" if point.name in BUILT_IN else origin


def checked_name(name: str) -> str:
    """``name``, if it is valid.

    Raises:
        AgentError: it is empty, has over 100 characters, or one that is not printable.
    """
    if not is_name(name):
        raise AgentError(f"{name!r} cannot be an agent's name: {RULE}")
    return name


def taken_by(name: str) -> str | None:
    """A clause that says why a name cannot be registered, to follow the name; None if it is free."""
    if name in BUILT_IN:
        return "is built in"
    if name in {point.name for point in _points()}:
        return "comes with an installed package"
    return "names a class, as all names with a colon do" if ":" in name else None


def _points() -> list[EntryPoint]:
    return sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: (point.name, point.value))


def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in _points()}


def _target(base: str) -> str | None:
    if base in BUILT_IN:
        return BUILT_IN[base]
    targets = sorted({point.value for point in _points() if point.name == base})
    if len(targets) > 1:
        raise AgentError(f"several installed packages have an agent {base}: name one of {', '.join(targets)}")
    if targets:
        return targets[0]
    return base if ":" in base else None


def _import(target: str) -> Any:
    module_name, _, path = target.partition(":")
    # As with `python -m`, a module in the working directory need not be installed.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise AgentError(f"cannot import {module_name} of agent {target}: {error}") from error
    except Exception as error:
        raise AgentError(f"importing {module_name} of agent {target} raised {type(error).__name__}: {error}") from error
    try:
        for attribute in path.split("."):
            found = getattr(found, attribute)
    except AttributeError as error:
        raise AgentError(f"module {module_name} has no {path}: check agent {target}") from error
    return found


def literal(text: str) -> Any:
    """The value of a Python literal; other text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
