"""The process of a poke-env player that plays on a Showdown server.

Started by :class:`pokeladder.play.server.agent_process.AgentProcess` with the path of a pickled
:class:`~pokeladder.play.messages.AgentTask`. The exit status is 0 after the last battle.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import WeakSet

import cloudpickle
import poke_env.player.player
from poke_env.player import Player
from poke_env.player.battle_order import BattleOrder, SingleBattleOrder
from poke_env.ps_client import ServerConfiguration
from poke_env.teambuilder import ConstantTeambuilder

from pokeladder.agents.specs import Agent
from pokeladder.errors import PokeladderError
from pokeladder.play import logs
from pokeladder.play.dex import learn
from pokeladder.play.embedded.perspective import SteadyBattle, choice_text
from pokeladder.play.embedded.players import build_player
from pokeladder.play.messages import AgentTask
from pokeladder.retries import CHOICES

# Number of ended battles that are kept, since messages about them still arrive; poke-env would keep all.
BATTLES_KEPT = 8
# Seconds after which an unanswered challenge is repeated.
CHALLENGE_SECONDS = 10.0
NO_CHOICE = "/choose nothing"
log = logging.getLogger(__name__)


def main() -> int:
    logs.begin()
    try:
        task: AgentTask = cloudpickle.loads(Path(sys.argv[1]).read_bytes())
        assert isinstance(task.agent, Agent)
        learn(task.gen, task.additions)
        player = build_player(task.agent, task.format_id, task.user)
    except PokeladderError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if task.team is not None:
        player._team = ConstantTeambuilder(task.team)
    player.ps_client._server_configuration = ServerConfiguration(task.url, "")
    # No time limits here: the arena has its own, and a server on a busy machine may exceed those of websockets.
    player.ps_client._open_timeout = player.ps_client._ping_timeout = None
    _mind(player)
    poke_env.player.player.Battle = SteadyBattle  # type: ignore[attr-defined]
    return asyncio.run_coroutine_threadsafe(_play(player, task), player.ps_client.loop).result()


async def _play(player: Player, task: AgentTask) -> int:
    listening = asyncio.ensure_future(player.ps_client.listen())  # type: ignore[no-untyped-call]
    playing = asyncio.ensure_future(_battles(player, task))
    await asyncio.wait({listening, playing}, return_when=asyncio.FIRST_COMPLETED)
    if not playing.done():
        sys.stderr.write(f"the connection to {task.url} has ended\n")
        return 1
    playing.result()
    # Reads the last messages of the last battle.
    await asyncio.sleep(0.1)
    await player.ps_client.websocket.close()
    return 0


async def _battles(player: Player, task: AgentTask) -> None:
    """Plays one battle after the other."""
    for _ in range(task.battles):
        if task.role == "challenger":
            await _challenge(player, task)
        elif task.role == "acceptor":
            await player._accept_challenges(task.opponent, 1, None)
        else:
            await player._ladder(1)


async def _challenge(player: Player, task: AgentTask) -> None:
    """Challenges the opponent until a battle begins: it may not be online yet, or busy."""
    await player.ps_client.logged_in.wait()
    while True:
        await player.ps_client.challenge(task.opponent, task.format_id, task.team)
        try:
            await asyncio.wait_for(player._battle_semaphore.acquire(), CHALLENGE_SECONDS)
            break
        except TimeoutError:
            await player.ps_client.send_message(f"/cancelchallenge {task.opponent}")
    await player._battle_count_queue.join()


def _order(answer: object, battle: Any) -> BattleOrder:
    """A player's answer, an order or text, in the form in which poke-env sends it.

    Raises:
        TypeError: the answer is not a choice.
    """
    text = choice_text(answer, battle)
    if not isinstance(text, str):
        raise TypeError(f"returned something that is not a choice: {text!r}")
    return SingleBattleOrder(text)


def _mind(player: Player) -> None:
    """Applies the arena's rules to a player.

    A random legal choice replaces one that raised, that is not a choice, or that was refused too often. Hooks are
    called, and old battles are removed.
    """
    choose: Callable[[Any], Any] = player.choose_move
    finished: Callable[[Any], None] = player._battle_finished_callback
    over: deque[str] = deque()
    begun: WeakSet[Any] = WeakSet()
    # The last request of each battle, and the number of times that the player was asked about it.
    asked: dict[str, tuple[Any, int]] = {}

    def mention(event: str, battle: Any) -> None:
        hook = getattr(player, event, None)
        if hook is not None:
            hook(battle)

    async def choose_move(battle: Any) -> BattleOrder:
        request, tries = asked.get(battle.battle_tag, (None, 0))
        tries = tries + 1 if request is battle.last_request else 1
        asked[battle.battle_tag] = battle.last_request, tries
        if tries > CHOICES:
            return _order(player.choose_random_move(battle), battle)
        try:
            if battle not in begun:
                begun.add(battle)
                mention("battle_began", battle)
            chosen = choose(battle)
            return _order(await chosen if inspect.isawaitable(chosen) else chosen, battle)
        except (Exception, SystemExit, KeyboardInterrupt):
            log.exception("agent raised in %s; a random choice takes its place", battle.battle_tag)
            # The server refuses and counts it, and asks again.
            asked[battle.battle_tag] = battle.last_request, CHOICES
            return SingleBattleOrder(NO_CHOICE)

    def battle_finished(battle: Any) -> None:
        try:
            finished(battle)
            if battle in begun:
                mention("battle_ended", battle)
        except Exception:
            log.exception("agent raised when %s had ended", battle.battle_tag)
        asked.pop(battle.battle_tag, None)
        over.append(battle.battle_tag)
        if len(over) > BATTLES_KEPT:
            player._battles.pop(over.popleft(), None)

    player.choose_move = choose_move  # type: ignore[method-assign]
    player._battle_finished_callback = battle_finished  # type: ignore[method-assign]
