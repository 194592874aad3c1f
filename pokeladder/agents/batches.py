"""Players that choose for many positions at once, as a neural network does best."""

from __future__ import annotations

import inspect
import secrets
from abc import abstractmethod
from collections.abc import Awaitable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from poke_env.battle import AbstractBattle
from poke_env.player import Player
from poke_env.player.battle_order import BattleOrder

# How long a position waits for others to join it, at most; while the simulator has none in hand it waits for nothing.
BATCH_SECONDS = 0.1

_seeds: WeakKeyDictionary[AbstractBattle, int] = WeakKeyDictionary()


class BatchPlayer(Player):
    """A player whose positions are collected, across all battles of a worker process and both sides of each.

    Any ``Player`` that has a ``choose_batch`` is asked so; this class only spares the rest.

    Attributes:
        batch_size: positions of one call at most; None for half of those that there can be, so that the simulator
            has the other half to work on.
        batch_seconds: how long a position waits for others.
    """

    batch_size: int | None = None
    batch_seconds: float = BATCH_SECONDS

    @abstractmethod
    def choose_batch(self, battles: Sequence[AbstractBattle]) -> Sequence[BattleOrder]:
        """A choice for each position, in their order; may be a coroutine.

        Which positions come together depends on time. Whatever is drawn at random should therefore depend on
        :func:`decision_seed` of each battle alone, or runs do not repeat. If it raises, it is asked again for one
        position at a time.
        """

    def choose_move(self, battle: AbstractBattle) -> Any:
        """A batch of one."""
        chosen = self.choose_batch([battle])
        return _only(chosen) if inspect.isawaitable(chosen) else chosen[0]

    def battle_began(self, battle: AbstractBattle) -> None:
        """A battle begins that will be asked about: room for what is kept for each, by ``battle`` itself.

        Both sides of a battle of an agent against itself come, with one ``battle_tag``.
        """

    def battle_ended(self, battle: AbstractBattle) -> None:
        """It is over, or void; nothing more will be asked about it."""


async def _only(chosen: Awaitable[Sequence[BattleOrder]]) -> BattleOrder:
    return (await chosen)[0]


def decision_seed(battle: AbstractBattle) -> int:
    """A number below 2**63 for what is drawn at the present decision of a battle.

    It is the same whenever the battle is played again; on a server, where agents do not repeat themselves, any number.
    """
    seed = _seeds.get(battle)
    return secrets.randbits(63) if seed is None else seed


def set_decision_seed(battle: AbstractBattle, seed: int) -> None:
    """For the arena, before each decision."""
    _seeds[battle] = seed % 2**63
