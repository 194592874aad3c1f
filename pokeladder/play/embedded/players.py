"""Makes poke-env players that play without a server."""

from __future__ import annotations

import asyncio
import inspect
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

from poke_env.battle import AbstractBattle
from poke_env.player import Player
from poke_env.ps_client import AccountConfiguration

from pokeladder.agents.specs import Agent
from pokeladder.errors import AgentError
from pokeladder.play.logs import speak_once


class Hear(Protocol):
    """Receives messages of a player."""

    def __call__(self, text: str, *, to_room: bool = True) -> None:
        """Handles a message; ``to_room`` is whether it was sent to a battle."""


class NullWebsocket:
    """Replaces a player's websocket: messages go to the runner of its battles."""

    def __init__(self) -> None:
        self._rooms: dict[str, Hear] = {}
        self._hear_all: Hear | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    def open(self, room: str, hear: Hear) -> None:
        """Passes messages to a room on to ``hear``; the last room also gets messages without a room."""
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        # In self-play both sides share a room: messages count for the first side.
        self._rooms.setdefault(room, hear)
        self._hear_all = hear

    def leave(self, room: str) -> None:
        self._rooms.pop(room, None)

    async def send(self, message: str) -> None:
        """Receives a message ``ROOM|TEXT``, as a websocket does; any thread may call it."""
        room, _, text = message.partition("|")
        hear = self._rooms.get(room)
        if hear is None and not room.startswith("battle-") and self._hear_all is not None:
            hear = partial(self._hear_all, to_room=False)
        if hear is None or self._loop is None:
            return
        if threading.get_ident() == self._thread:
            hear(text)
        else:
            self._loop.call_soon_threadsafe(hear, text)

    async def close(self) -> None:
        pass


def build_player(agent: Agent, battle_format: str, username: str) -> Player:
    """Makes the player of an agent, without a connection.

    Args:
        username: its user name; at most 18 characters.

    Raises:
        AgentError: the agent cannot be imported, its constructor raised, or the result is not a ``Player``.
    """
    target = agent.load()
    settings: dict[str, Any] = {
        "account_configuration": AccountConfiguration(username, None),
        "battle_format": battle_format,
        "max_concurrent_battles": 0,
        "start_listening": False,
    }
    try:
        accepted = inspect.signature(target).parameters
        open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values())
        settings = {key: value for key, value in settings.items() if open_ended or key in accepted}
        with _no_sockets():
            player = target(**{**agent.parameters, **settings})
    except Exception as error:
        raise AgentError(f"agent {agent.name} could not be built: {type(error).__name__}: {error}") from error
    if not isinstance(player, Player):
        raise AgentError(f"agent {agent.name}: {agent.target} builds a {type(player).__name__}, not a poke-env Player")
    # Set again, for constructors that do not pass format and name on.
    player._format = battle_format
    player.ps_client._account_configuration = AccountConfiguration(username, None)
    speak_once(player)
    player.ps_client.websocket = NullWebsocket()  # type: ignore[assignment]
    if type(player).random_teampreview is Player.random_teampreview:
        player.random_teampreview = _random_teampreview  # type: ignore[method-assign]
    return player


def _random_teampreview(battle: AbstractBattle) -> str:
    """poke-env's random preview, with separators where there are more than nine Pokémon."""
    members = list(range(1, len(battle.team) + 1))
    random.shuffle(members)
    for pokemon in battle.team.values():
        pokemon._selected_in_teampreview = True
    return "/team " + (", " if len(members) > 9 else "").join(map(str, members))


def batches(player: Player) -> bool:
    """Whether the player chooses for many positions at once."""
    return hasattr(chooser(player), "choose_batch") or takes_states(player)


def takes_states(player: Player) -> bool:
    """Whether the player takes :class:`~pokeladder.trajectories.observation.Observation` instead of battles."""
    return hasattr(chooser(player), "choose_positions")


def chooser(player: Player) -> Player:
    """The player that makes the choices: the player itself, or the original of a double."""
    return player.original if isinstance(player, SelfPlayDouble) else player


class SelfPlayDouble(Player):
    """Plays the second side in self-play with the choices of the first side's player, so that one network is enough.

    Args:
        username: its user name; at most 18 characters.
    """

    def __init__(self, original: Player, username: str) -> None:
        super().__init__(
            account_configuration=AccountConfiguration(username, None),
            battle_format=original.format,
            max_concurrent_battles=0,
            start_listening=False,
        )
        speak_once(self)
        self.original = original
        self.MESSAGES_TO_IGNORE = original.MESSAGES_TO_IGNORE

    def choose_move(self, battle: AbstractBattle) -> Any:
        return self.original.choose_move(battle)

    def teampreview(self, battle: AbstractBattle) -> Any:
        return self.original.teampreview(battle)

    def _battle_finished_callback(self, battle: AbstractBattle) -> None:
        self.original._battle_finished_callback(battle)


@contextmanager
def _no_sockets() -> Iterator[None]:
    defaults = Player.__init__.__kwdefaults__
    assert defaults is not None
    listening = defaults["start_listening"]
    defaults["start_listening"] = False
    try:
        yield
    finally:
        defaults["start_listening"] = listening
