"""Checkpoints of metamon: finding them, and what it takes to have one play."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pokeladder.errors import AgentError
from pokeladder.programs import Limits, Program

WEIGHTS = re.compile(r"policy_epoch_(\d+)\.pt")
# Where amago keeps a run's weights.
WEIGHTS_FOLDER = Path("ckpts", "policy_weights")


@dataclass(frozen=True)
class Checkpoint:
    """The weights of a run after an epoch of training."""

    run: str
    epoch: int
    path: Path
    steps: int | None = None

    @property
    def name(self) -> str:
        return f"{self.run}@{self.epoch}"

    def describe(self) -> str:
        """Its training steps, where the run says how many an epoch has."""
        return f"epoch {self.epoch}" if self.steps is None else f"epoch {self.epoch}, {self.steps:,} training steps"


def scan(folder: Path) -> list[Checkpoint]:
    """All checkpoints of all runs in a folder, by run and epoch."""
    found = []
    for path in folder.glob(str(Path("*") / WEIGHTS_FOLDER / "policy_epoch_*.pt")):
        match = WEIGHTS.fullmatch(path.name)
        if match is not None:
            run = path.relative_to(folder).parts[0]
            found.append(Checkpoint(run, int(match[1]), path))
    return sorted(found, key=lambda checkpoint: (checkpoint.run, checkpoint.epoch))


def metamon_program(
    base: str, name: str, table: Mapping[str, Any], parameters: Mapping[str, Any], limits: Limits
) -> Program:
    raise AgentError("not yet")
