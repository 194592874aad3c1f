"""Asks players for choices under a time limit, for one position or for a batch."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from poke_env.player import Player

from pokeladder.agents.batches import BATCH_SECONDS, set_decision_seed
from pokeladder.play.embedded import seeding
from pokeladder.play.embedded.heartbeat import Heartbeat
from pokeladder.play.embedded.players import chooser, takes_states
from pokeladder.play.embedded.side import BattleSide
from pokeladder.play.embedded.time_limit import TimeLimit, TurnTimeout, drive

# Called with all sides of a question, those that still wait for the answer, and the answer.
Settle = Callable[[Sequence[BattleSide], Sequence[BattleSide], Any], None]


class DecisionListener(Protocol):
    """Receives the outcome of questions."""

    def answered(self, side: BattleSide, answer: object) -> None:
        """The player has answered, maybe with something that is not a choice."""

    def raised(self, side: BattleSide, error: BaseException) -> None:
        """The player has raised an exception."""

    def timed_out(self, side: BattleSide) -> None:
        """The player has exceeded the time limit."""

    def remarked(self, side: BattleSide, error: BaseException) -> None:
        """The player has raised an exception outside of a question."""


@dataclass(eq=False, slots=True)
class _Batch:
    """The positions that wait for a player.

    Attributes:
        sides: number of sides that the player plays, in all battles.
        alarm: the timer after which the batch is asked.
    """

    player: Player
    sides: int = 0
    waiting: list[BattleSide] = field(default_factory=list)
    alarm: asyncio.TimerHandle | None = None

    def full(self) -> bool:
        size = getattr(self.player, "batch_size", None) or max(1, self.sides // 2)
        return len(self.waiting) >= size

    def take(self) -> list[BattleSide]:
        if self.alarm is not None:
            self.alarm.cancel()
            self.alarm = None
        taken, self.waiting = self.waiting, []
        return taken


class DecisionMaker:
    """Asks for each position, at once or in a batch.

    Args:
        turn_timeout: time limit of one call of a player, for any number of positions, in seconds.
        heartbeat: is told of the running call.
    """

    def __init__(self, turn_timeout: float, heartbeat: Heartbeat, listener: DecisionListener) -> None:
        self._timeout = turn_timeout
        self._heartbeat = heartbeat
        self._listener = listener
        self._time_limit = TimeLimit(turn_timeout)
        # Seconds for which agents have blocked the event loop.
        self._busy = 0.0
        self._batches: dict[Player, _Batch] = {}

    def battle_began(self, side: BattleSide) -> None:
        """Tells a player that chooses in batches about a new battle."""
        if side.batched:
            self._batch_of(side).sides += 1
            self._mention(side, "battle_began")

    def battle_ended(self, side: BattleSide) -> None:
        """Tells a player that chooses in batches about the end of a battle."""
        if side.batched:
            batch = self._batch_of(side)
            batch.sides -= 1
            with suppress(ValueError):
                batch.waiting.remove(side)
            self._mention(side, "battle_ended")

    def ask(self, side: BattleSide) -> None:
        """Asks the side's player, now or with its next batch."""
        side.tries += 1
        side.questions += 1
        set_decision_seed(side.battle, side.seed + side.questions)
        if side.battle.teampreview:
            self._call([side], side.player.teampreview, side.battle, self._answer)
        elif not side.batched:
            self._call([side], side.player.choose_move, side.battle, self._answer)
        else:
            batch = self._batch_of(side)
            batch.waiting.append(side)
            if batch.full():
                self._ask_all(batch)
            elif batch.alarm is None:
                seconds = getattr(batch.player, "batch_seconds", BATCH_SECONDS)
                batch.alarm = asyncio.get_running_loop().call_later(seconds, self._ask_all, batch)

    def waiting(self) -> bool:
        """Whether positions wait in batches."""
        return any(batch.waiting for batch in self._batches.values())

    def flush(self) -> None:
        """Asks for all waiting positions, when no others can come."""
        for batch in self._batches.values():
            if batch.waiting:
                self._ask_all(batch)

    def timed(self, side: BattleSide, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a function of the side's player; its result.

        Raises:
            TurnTimeout: the call exceeded the time limit.
        """
        self._heartbeat.begin(side.game, side.id, self._timeout)
        started = time.monotonic()
        try:
            return self._time_limit.call(function, *arguments)
        finally:
            self._busy += time.monotonic() - started
            self._heartbeat.end()

    def _batch_of(self, side: BattleSide) -> _Batch:
        player = chooser(side.player)
        if player not in self._batches:
            self._batches[player] = _Batch(player)
        return self._batches[player]

    def _mention(self, side: BattleSide, event: str) -> None:
        hook = getattr(chooser(side.player), event, None)
        if hook is None:
            return
        try:
            self.timed(side, hook, side.battle)
        except (Exception, TurnTimeout) as error:
            self._listener.remarked(side, error)

    def _ask_all(self, batch: _Batch) -> None:
        self._call_for(batch.player, batch.take())

    def _call_for(self, player: Any, sides: Sequence[BattleSide]) -> None:
        if not takes_states(player):
            self._call(sides, player.choose_batch, [side.battle for side in sides], self._answer_all)
            return
        known = [side for side in sides if side.observation is not None]
        if known:
            self._call(known, player.choose_positions, [side.observation for side in known], self._answer_all)
        for side in sides:
            if side.observation is None:
                self._listener.raised(side, ValueError("the state of the battle could not be made"))

    def _call(self, sides: Sequence[BattleSide], function: Callable[[Any], Any], argument: Any, settle: Settle) -> None:
        seeding.deal(sides[0].seed + sides[0].questions)
        try:
            answer = self.timed(sides[0], function, argument)
        except TurnTimeout:
            self._late(sides)
        except BaseException as error:
            self._failed(sides, error)
        else:
            if inspect.isawaitable(answer):
                self._wait_for(sides, answer, settle)
            else:
                settle(sides, sides, answer)

    def _answer(self, sides: Sequence[BattleSide], _: Sequence[BattleSide], answer: Any) -> None:
        self._listener.answered(sides[0], answer)

    def _answer_all(self, sides: Sequence[BattleSide], asked: Sequence[BattleSide], answers: Any) -> None:
        try:
            answers = list(answers)
        except TypeError:
            answers = [answers] * len(sides)
        if len(answers) != len(sides):
            self._failed(asked, ValueError(f"choose_batch made {len(answers)} choices for {len(sides)} positions"))
            return
        for side, answer in zip(sides, answers, strict=True):
            if side in asked:
                self._listener.answered(side, answer)

    def _failed(self, sides: Sequence[BattleSide], error: BaseException) -> None:
        """Asks for the positions of a failed batch one by one, since one of them may be the cause."""
        if len(sides) == 1:
            self._listener.raised(sides[0], error)
            return
        for side in sides:
            self._call_for(chooser(side.player), [side])

    def _late(self, sides: Sequence[BattleSide]) -> None:
        for side in sides:
            self._listener.timed_out(side)

    def _wait_for(self, sides: Sequence[BattleSide], answer: Any, settle: Settle) -> None:
        loop = asyncio.get_running_loop()
        state = seeding.save()
        began, busy_before, busy_itself = time.monotonic(), self._busy, 0.0

        def step(function: Callable[..., Any], argument: object) -> Any:
            nonlocal state, busy_itself
            seeding.restore(state)
            before = self._busy
            try:
                return self.timed(sides[0], function, argument)
            finally:
                busy_itself += self._busy - before
                state = seeding.save()

        async def decide() -> object:
            try:
                return await drive(answer, step)
            except (SystemExit, KeyboardInterrupt) as error:
                # asyncio would re-raise these two and end the event loop.
                raise RuntimeError(f"{type(error).__name__}: {error}") from error

        task = loop.create_task(decide())
        alarm = loop.call_later(self._timeout, lambda: late())
        # A battle that ends withdraws only its own question from the batch.
        waiting: dict[BattleSide, asyncio.Future[object]] = {}
        for side in sides:
            waiting[side] = side.task = task if len(sides) == 1 else loop.create_future()

        def still_asked() -> list[BattleSide]:
            asked = [side for side, mark in waiting.items() if side.task is mark]
            for side in asked:
                side.task = None
            return asked

        def decided(finished: asyncio.Task[object]) -> None:
            alarm.cancel()
            error = None if finished.cancelled() else finished.exception()
            asked = still_asked()
            if not asked:
                return
            if isinstance(error, TurnTimeout):
                self._late(asked)
            elif finished.cancelled() or error is not None:
                self._failed(asked, error or asyncio.CancelledError("it cancelled itself"))
            else:
                settle(sides, asked, finished.result())

        def late() -> None:
            nonlocal alarm
            kept_waiting = self._busy - busy_before - busy_itself
            left = began + self._timeout + kept_waiting - time.monotonic()
            if left > 0:
                alarm = loop.call_later(left, late)
                return
            asked = still_asked()
            task.cancel()
            self._late(asked)

        task.add_done_callback(decided)
