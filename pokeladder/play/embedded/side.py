"""One side of one battle, with the player's view of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from poke_env.battle import Battle, Pokemon
from poke_env.player import Player
from poke_env.teambuilder import TeambuilderPokemon

from pokeladder.play.embedded.perspective import SteadyBattle
from pokeladder.play.embedded.players import batches, takes_states
from pokeladder.records import Recorded, Side
from pokeladder.trajectories.builder import TrajectoryBuilder
from pokeladder.trajectories.observation import Observation

log = logging.getLogger(__name__)
Value = TypeVar("Value")


class BattleSide:
    """Updates a player's ``Battle`` from the lines that the simulator sends to that side.

    Args:
        side: the side of the battle.
        seed: seed of the agent's random numbers.
        battle_number: number of the battle within the process.
        game: index of the battle in the schedule.

    Attributes:
        batched: whether the player chooses for many positions at once.
        battle: poke-env's view of the battle.
        asked: whether the simulator waits for a choice of this side.
        refused: reason why the simulator refused the last choice, if that was the agent's fault.
        steps, invalid, timeouts: number of decisions, of invalid ones, and of time-outs.
        deciding: whether the last decision is not carried out yet.
        tries: number of choices sent for the present request.
        questions: number of times that the player was asked.
        sent: choice that the player has sent as a message since it was asked; None without one.
        task: running decision of an asynchronous agent.
        observation: state and legal actions of the side; None if they are not used, or after an error.
        unrecorded: error because of which the trajectory cannot be recorded; None without one.
    """

    def __init__(
        self,
        side: Side,
        agent: str,
        player: Player,
        tag: str,
        gen: int,
        team: Sequence[TeambuilderPokemon],
        seed: int,
        record: bool,
        *,
        battle_number: int = 0,
        game: int = 0,
    ) -> None:
        self.id = side
        self.battle_number = battle_number
        self.game = game
        self.batched = batches(player)
        self.agent = agent
        self.player = player
        self.seed = seed
        self.battle = SteadyBattle(tag, player.username, player.logger, gen)
        self.battle.teampreview_team = [Pokemon(gen=gen, teambuilder=pokemon) for pokemon in team]
        player._battles[tag] = self.battle
        self.asked = False
        self.refused: str | None = None
        self.steps = self.invalid = self.timeouts = self.tries = self.questions = 0
        self.sent: str | None = None
        self.counted = self.deciding = False
        self.task: asyncio.Future[object] | None = None
        format_id = tag.split("-")[1]
        self.observation = Observation(self.battle, format_id) if record or takes_states(player) else None
        self._recorded = record
        self._builder = TrajectoryBuilder(self.observation, format_id) if record and self.observation else None
        self.unrecorded: str | None = None

    def read(self, text: str, request: dict[str, Any] | None, chosen: str | None) -> None:
        """Reads lines of the battle protocol, and the request after them, if there is one.

        Args:
            chosen: this side's choice that led to these lines, if there is one.
        """
        battle = self.battle
        if chosen is not None:
            self._end_decision(TrajectoryBuilder.act, chosen)
        ignored = self.player.MESSAGES_TO_IGNORE
        for line in text.split("\n"):
            message = line.split("|")
            if len(message) < 2:
                continue
            kind = message[1]
            if kind in ignored:
                continue
            try:
                if kind == "win":
                    battle.won_by(message[2])
                elif kind == "tie":
                    battle.tied()  # type: ignore[no-untyped-call]
                elif kind == "error":
                    self._error(message[2])
                elif kind == "move":
                    battle.parse_message(message)
                elif kind != "bigerror":
                    # Most lines need no more than poke-env's own reading, which is faster.
                    Battle.parse_message(battle, message)
            except Exception:
                # poke-env does not know all lines of all formats; the line is skipped.
                log.warning("poke-env could not read %r", line, exc_info=True)
            if kind == "move":
                self._observe(Observation.moved, line)
            elif kind == "-start":
                self._observe(Observation.began, line)

        if request is not None:
            self._request(request)

    def leave(self) -> None:
        """Ends a running decision, and removes the battle from the player."""
        self.forget_question()
        self.player._battles.pop(self.battle.battle_tag, None)

    def forget_question(self) -> None:
        self.asked = False
        if self.task is not None:
            self.task.cancel()
            self.task = None

    def count_invalid(self) -> None:
        """Counts the present decision as invalid, once for any number of refused choices."""
        if not self.counted:
            self.counted = True
            self.invalid += 1
            self._record(TrajectoryBuilder.mark_invalid)

    def give_up(self) -> None:
        """Records that the present decision is to forfeit."""
        self._end_decision(TrajectoryBuilder.give_up)

    def finish(self) -> None:
        """Records the end of the battle; a decision that the end has interrupted does not count."""
        self.steps -= self.deciding
        self.invalid -= self.deciding and self.counted
        self.deciding = False

    def recorded(self) -> Recorded | None:
        """This side's trajectory; None if it is not recorded, or the side made no decision."""
        builder = self._builder
        if builder is None or builder.steps == 0:
            return None
        finished = self._record(TrajectoryBuilder.finish)
        if finished is None:
            return None
        document, outline = finished
        return Recorded(document, builder.size, outline, tuple(builder.invalid_steps))

    def _end_decision(self, act: Callable[..., None], *arguments: Any) -> None:
        self.deciding = False
        self._record(act, *arguments)
        if self.observation is not None:
            self.observation.end()

    def _observe(self, act: Callable[..., None], *arguments: Any) -> None:
        """Calls the observation. After an error the trajectory is lost, and the battle goes on."""
        if self.observation is None:
            return
        try:
            act(self.observation, *arguments)
        except Exception as error:
            self.observation = None
            self._lose(error)

    def _record(self, act: Callable[..., Value], *arguments: Any) -> Value | None:
        """Calls the trajectory's builder. After an error the trajectory is lost, and the battle goes on."""
        if self._builder is None:
            return None
        try:
            return act(self._builder, *arguments)
        except Exception as error:
            self._lose(error)
            return None

    def _lose(self, error: Exception) -> None:
        log.warning("no trajectory of %s in %s", self.agent, self.battle.battle_tag, exc_info=True)
        self._builder = None
        if self._recorded:
            self.unrecorded = f"{type(error).__name__}: {error}"

    def _request(self, request: dict[str, Any]) -> None:
        self.battle.parse_request(request)
        if request.get("wait"):
            return
        self.asked = True
        if not request.get("update"):
            self.tries = 0
            self.counted = False
            if not request.get("teamPreview"):
                self.steps += 1
                self.deciding = True
                self._observe(Observation.begin, request)

    def _error(self, reason: str) -> None:
        # "[Unavailable choice]" is not the agent's fault: it reveals hidden information, and a new request follows.
        if reason.startswith("[Invalid choice]"):
            self.refused = reason
            self.asked = True
