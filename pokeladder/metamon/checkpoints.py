"""Checkpoints of metamon: discovery, training steps, and the programs that play them."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pokeladder.agents.programs import Limits, Program, expanded, parse_roles
from pokeladder.agents.tables import MetamonTable
from pokeladder.errors import AgentError

PLAYER = Path(__file__).parent / "side" / "ladder_client.py"
POLICY = Path(__file__).parent / "side" / "policy_server.py"
WEIGHTS = re.compile(r"policy_epoch_(\d+)\.pt")
# amago's folders of a run's weights, and of the state of its optimizer and scheduler.
WEIGHTS_FOLDER = Path("ckpts", "policy_weights")
STATES_FOLDER = Path("ckpts", "training_states")
# amago's file of the network's configuration.
CONFIGURATION = Path("ckpts", "config.txt")
# Options of ladder_client.py that a table of the registry may set: attributes of MetamonTable.
ARCHITECTURE = ("base", "model_config", "train_config", "observation_space", "action_space", "reward", "tokenizer")


@dataclass(frozen=True)
class Checkpoint:
    """The weights of a run after an epoch of training.

    Attributes:
        epoch: number of the epoch, from 0.
        steps: number of all training steps; None if unknown.
    """

    run: str
    epoch: int
    path: Path
    steps: int | None

    @property
    def name(self) -> str:
        return f"{self.run}@{self.epoch}"

    def describe(self) -> str:
        """Epoch and training steps as text."""
        return f"epoch {self.epoch}" if self.steps is None else f"epoch {self.epoch}, {self.steps:,} training steps"


def scan(folder: Path, steps_per_epoch: int | None = None, steps_before: int = 0) -> list[Checkpoint]:
    """All checkpoints of all runs in a folder, by run and epoch.

    Args:
        steps_per_epoch: training steps of an epoch; None to read them from each run.
        steps_before: training steps before the runs.
    """
    found = []
    for run in sorted(path for path in folder.glob("*") if (path / WEIGHTS_FOLDER).is_dir()):
        per_epoch = steps_per_epoch or _steps_per_epoch(run)
        epochs = {}
        for path in (run / WEIGHTS_FOLDER).iterdir():
            match = WEIGHTS.fullmatch(path.name)
            if match is not None:
                epochs[int(match[1])] = path
        for epoch, path in sorted(epochs.items()):
            steps = None if per_epoch is None else (epoch + 1) * per_epoch + steps_before
            found.append(Checkpoint(run.name, epoch, path, steps))
    return found


def metamon_program(
    base: str, name: str, table: MetamonTable, parameters: Mapping[str, Any], limits: Limits
) -> Program:
    """The program that plays a registered model or a checkpoint of metamon's.

    Args:
        parameters: settings that take the place of the table's; only temperature may.

    Raises:
        AgentError: the interpreter, the runs' folder or the weights are not named or not there.
    """
    unknown = sorted(set(parameters) - {"temperature"})
    if unknown:
        raise AgentError(f"agent {base} of metamon has no parameter {unknown[0]}: there is temperature")
    if table.python is None:
        raise AgentError(
            f"agent {base} needs metamon: say which interpreter has it with `pokeladder agents metamon --python PATH`"
        )
    temperature = parameters.get("temperature", table.temperature)
    arguments, plays, files = _weights(base, table)
    for option in ARCHITECTURE:
        value = getattr(table, option)
        if value is not None:
            arguments += [f"--{option.replace('_', '-')}", _literally(value)]
            plays[option] = value
    if temperature != 1:
        arguments += ["--temperature", str(temperature)]
        plays["temperature"] = temperature
    environment = table.variables()
    if table.cache is not None:
        environment.setdefault("METAMON_CACHE_DIR", str(Path(table.cache).expanduser()))
    given = "--backend {backend} --username {username} --server {server} --format {format} --team-dir {team_dir}"
    given += " --battles {battles} --role {role} --opponent {opponent} --work-dir {work_dir}"
    python = _literally(str(Path(table.python).expanduser()))
    return Program(
        name=name,
        kind="metamon",
        command=(python, _literally(str(PLAYER)), *arguments, *given.split()),
        policy=(python, _literally(str(POLICY)), *arguments, "--address", "{address}", "--format", "{format}"),
        roles=parse_roles(base, table.roles),
        environment=environment,
        folder=expanded(table.folder),
        port=table.port,
        gpu=table.gpu,
        fixed_team=table.fixed_team,
        writes=True,
        limits=limits,
        plays=plays,
        base=base,
        parameters=dict(parameters),
        files=files,
    )


def _weights(base: str, table: MetamonTable) -> tuple[list[str], dict[str, Any], tuple[str, ...]]:
    """Arguments that name the weights, the same for the settings of a run, and the files that hold them."""
    if table.checkpoint is None:
        epoch = [] if table.epoch is None else ["--epoch", str(table.epoch)]
        return ["--model", _literally(str(table.model)), *epoch], {"model": table.model, "epoch": table.epoch}, ()
    run, at, number = table.checkpoint.rpartition("@")
    if not at or not number.isdecimal():
        raise AgentError(f"the checkpoint of agent {base} is {table.checkpoint!r}: write run@epoch")
    folder = Path(run).expanduser()
    if not folder.is_absolute():
        if table.checkpoints is None:
            raise AgentError(
                f"agent {base} plays the checkpoint {table.checkpoint}: say where runs are with "
                "`pokeladder agents metamon --checkpoints DIR`"
            )
        folder = Path(table.checkpoints).expanduser() / run
    weights = folder / WEIGHTS_FOLDER / f"policy_epoch_{number}.pt"
    if not weights.is_file():
        raise AgentError(f"agent {base}: there is no epoch {number} in {folder / WEIGHTS_FOLDER}")
    files = tuple(str(path) for path in (weights, folder / CONFIGURATION) if path.is_file())
    return ["--run", _literally(str(folder)), "--epoch", number], {"checkpoint": table.checkpoint}, files


def _literally(text: str) -> str:
    """Text with its braces doubled, for a command with placeholders."""
    return text.replace("{", "{{").replace("}", "}}")


def _steps_per_epoch(run: Path) -> int | None:
    """Training steps of an epoch, from the scheduler's state after any epoch; None if there is no usable state."""
    for state in (run / STATES_FOLDER).glob("*_epoch_*/scheduler.bin"):
        epoch = state.parent.name.rpartition("_")[2]
        steps = _last_step(state)
        if steps is not None and epoch.isdecimal() and steps % (int(epoch) + 1) == 0:
            return steps // (int(epoch) + 1) or None
    return None


def _last_step(path: Path) -> int | None:
    """The step count in a scheduler's state, which PyTorch saves as a zip with a pickled dictionary of numbers."""
    try:
        with zipfile.ZipFile(path) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
            with archive.open(name) as file:
                steps = _Numbers(file).load()["last_epoch"]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError):
        return None
    return steps if isinstance(steps, int) else None


class _Numbers(pickle.Unpickler):
    """Unpickles plain values only, since checkpoints may come from anybody."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is not a plain value")
