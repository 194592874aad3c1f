"""The tables of ``agents.toml``: which keys each kind of agent has, and which values they take."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from pokeladder.agents.programs import BATTLE_SECONDS, START_SECONDS
from pokeladder.errors import AgentError

Seconds = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Temperature = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
# Loading a large network, or compiling it, takes minutes.
METAMON_START_SECONDS = 600.0


class _Table(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    start_timeout: Seconds = START_SECONDS
    battle_timeout: Seconds = BATTLE_SECONDS
    gpu: bool = False

    def __post_init__(self) -> None:
        if _has_zero_byte(msgspec.structs.asdict(self)):
            raise ValueError("a value has a zero byte, which no program can be given")


class PlayerTable(_Table, kw_only=True):
    """A poke-env ``Player`` class and its parameters."""

    target: str
    parameters: dict[str, Any] = {}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(self.target.partition(":")):
            raise ValueError(f"target = {self.target!r:.100} is not module:Class")


class _ProcessTable(_Table, kw_only=True):
    roles: list[str] | dict[str, str] = msgspec.field(default_factory=lambda: ["ladder"])
    environment: dict[str, str | int | float | bool] = {}
    folder: str | None = None
    port: Port | None = None
    fixed_team: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.environment:
            if "=" in name or not name:
                raise ValueError(f"environment: {name!r:.100} cannot be a variable's name")

    def variables(self) -> dict[str, str]:
        """The environment variables to set."""
        return {name: str(value) for name, value in self.environment.items()}


class CommandTable(_ProcessTable, kw_only=True):
    """A program that logs in to a Showdown server."""

    command: str


class MetamonDefaults(_ProcessTable, kw_only=True):
    """The table ``[metamon]``: defaults of all agents of metamon."""

    start_timeout: Seconds = METAMON_START_SECONDS
    gpu: bool = True
    python: str | None = None
    checkpoints: str | None = None
    cache: str | None = None
    steps_per_epoch: Annotated[int, msgspec.Meta(ge=1)] | None = None
    steps_before: Count = 0
    # Options of ladder_client.py and policy_server.py: what the network was trained with.
    base: str | None = None
    model_config: str | None = None
    train_config: str | None = None
    observation_space: str | None = None
    action_space: str | None = None
    reward: str | None = None
    tokenizer: str | None = None


class MetamonTable(MetamonDefaults, kw_only=True):
    """A pretrained model or a checkpoint of metamon."""

    model: str | None = None
    checkpoint: str | None = None
    epoch: Count | None = None
    temperature: Temperature = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.model is None) == (self.checkpoint is None):
            raise ValueError("give either a model (one of metamon's own) or a checkpoint (run@epoch)")


AgentTable = PlayerTable | CommandTable | MetamonTable
KINDS: dict[str, type[AgentTable]] = {"player": PlayerTable, "command": CommandTable, "metamon": MetamonTable}
Table = TypeVar("Table", bound=msgspec.Struct)


def read_agent(name: str, table: Any, defaults: Mapping[str, Any]) -> AgentTable:
    """The table of the agent ``name``.

    Args:
        defaults: the table ``[metamon]``, whose keys agents of that kind have unless they set them.

    Raises:
        AgentError: it is not a table, has an unknown key or lacks one, or a value is out of its range.
    """
    if not isinstance(table, Mapping):
        raise AgentError(f"agent {name}: {table!r:.100} is not a table: write [agents.{name}]")
    if "kind" not in table:
        raise AgentError(f"agent {name}: there is no kind: use one of {', '.join(KINDS)}")
    kind = table["kind"]
    if not isinstance(kind, str) or kind not in KINDS:
        raise AgentError(f"agent {name}: kind = {kind!r:.100} is unknown: use one of {', '.join(KINDS)}")
    own = {key: value for key, value in table.items() if key != "kind"}
    return _read(f"agent {name}", {**defaults, **own} if kind == "metamon" else own, KINDS[kind])


def read_defaults(table: Any) -> MetamonDefaults:
    """The table ``[metamon]``.

    Raises:
        AgentError: it has an unknown key, or a value is out of its range.
    """
    return _read("[metamon]", table, MetamonDefaults)


def _has_zero_byte(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_zero_byte, (*value, *value.values())))
    if isinstance(value, list):
        return any(map(_has_zero_byte, value))
    return isinstance(value, str) and "\0" in value


def _read(owner: str, table: Mapping[str, Any], kind: type[Table]) -> Table:
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise AgentError(f"{owner}: {_reason(str(error), table, kind)}") from error


def _reason(message: str, table: Mapping[str, Any], kind: type[msgspec.Struct]) -> str:
    """msgspec's message with the key and its value, or the keys that there are."""
    reason, _, place = message.replace("`", "").partition(" - at ")
    unknown = re.fullmatch("Object contains unknown field (.+)", reason)
    if unknown is not None:
        return f"unknown key {unknown[1]}: use one of {', '.join(kind.__struct_fields__)}"
    key = re.match(r"\$\.(\w+)", place)
    reason = reason.replace("Object missing required field", "there is no")
    return reason if key is None else f"{key[1]} = {table.get(key[1])!r:.100}: {reason[0].lower()}{reason[1:]}"
