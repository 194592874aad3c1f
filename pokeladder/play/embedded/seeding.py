"""Makes agents' random numbers depend on their battle only.

Agents use the shared generators of Python, NumPy and PyTorch, and a process plays many battles at once. Each decision
therefore starts from a seed of its own, and its generator state is saved while other battles go on.
"""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np


def deal(seed: int) -> None:
    """Seeds the shared generators."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed % 2**63)


def save() -> tuple[Any, ...]:
    """The state of the generators, for :func:`restore`."""
    torch = sys.modules.get("torch")
    return random.getstate(), np.random.get_state(), torch.get_rng_state() if torch else None


def restore(state: tuple[Any, ...]) -> None:
    """Restores a state of :func:`save`."""
    python, numpy, torch_state = state
    random.setstate(python)
    np.random.set_state(numpy)
    torch = sys.modules.get("torch")
    if torch is not None and torch_state is not None:
        torch.set_rng_state(torch_state)
