"""Players that choose for many positions in one call, which suits neural networks."""

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

# Longest wait of a position for others; without positions to come it does not wait.
BATCH_SECONDS = 0.1

_seeds: WeakKeyDictionary[AbstractBattle, int] = WeakKeyDictionary()


class BatchPlayer(Player):
    """A player that chooses for the positions of all battles of a worker process, both sides of each, in one call.

    Any ``Player`` with a method ``choose_batch`` is called this way; this class adds the other methods.

    Attributes:
        batch_size: largest number of positions of one call; None for half of all that there can be, so that the
            simulator works on the other half.
        batch_seconds: longest wait of a position for others, in seconds.
    """

    batch_size: int | None = None
    batch_seconds: float = BATCH_SECONDS

    @abstractmethod
    def choose_batch(self, battles: Sequence[AbstractBattle]) -> Sequence[BattleOrder]:
        """A choice for each position, in their order; may be a coroutine.

        Timing decides which positions come together. Random numbers should therefore be drawn from
        :func:`decision_seed` of each battle, or runs do not repeat. After an exception the positions come again, one
        a call.
        """

    def choose_move(self, battle: AbstractBattle) -> Any:
        """Chooses for one position."""
        chosen = self.choose_batch([battle])
        return _only(chosen) if inspect.isawaitable(chosen) else chosen[0]

    def battle_began(self, battle: AbstractBattle) -> None:
        """Called before the first decision of each battle, to set up what the player keeps for it.

        In self-play it is called for both sides, whose ``battle_tag`` is the same.
        """

    def battle_ended(self, battle: AbstractBattle) -> None:
        """Called when the battle has ended or is void: no decision follows."""


async def _only(chosen: Awaitable[Sequence[BattleOrder]]) -> BattleOrder:
    return (await chosen)[0]


def decision_seed(battle: AbstractBattle) -> int:
    """A number below 2**63 to seed random numbers of the present decision.

    On the embedded venue it is the same whenever the battle is played again; on a server it is random.
    """
    seed = _seeds.get(battle)
    return secrets.randbits(63) if seed is None else seed


def set_decision_seed(battle: AbstractBattle, seed: int) -> None:
    """Sets the seed of the next decision; the arena calls it."""
    _seeds[battle] = seed % 2**63
