"""Asking players for choices, under a time limit: for one position, or for all that wait for a player at one moment."""

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
from pokeladder.play.embedded import seeding as luck
from pokeladder.play.embedded.heartbeat import Pulse
from pokeladder.play.embedded.players import chooser, takes_states
from pokeladder.play.embedded.side import Seat
from pokeladder.play.embedded.time_limit import TurnClock, TurnTimeout, drive

# Takes in what a player made of the positions of some seats; only those of them that still wait for it are answered.
Settle = Callable[[Sequence[Seat], Sequence[Seat], Any], None]


class Listener(Protocol):
    """Is told what has become of a question."""

    def answered(self, seat: Seat, answer: object) -> None:
        """The player has answered, with a choice or with anything else."""

    def raised(self, seat: Seat, error: BaseException) -> None:
        """The player has raised."""

    def timed_out(self, seat: Seat) -> None:
        """The player took too long."""

    def remarked(self, seat: Seat, error: BaseException) -> None:
        """The player has raised when it was asked nothing."""


@dataclass(eq=False, slots=True)
class _Batch:
    """The positions that wait for a player.

    Attributes:
        seats: how many of its seats there are in all battles.
        alarm: rings when they have waited long enough.
    """

    player: Player
    seats: int = 0
    waiting: list[Seat] = field(default_factory=list)
    alarm: asyncio.TimerHandle | None = None

    def full(self) -> bool:
        size = getattr(self.player, "batch_size", None) or max(1, self.seats // 2)
        return len(self.waiting) >= size

    def take(self) -> list[Seat]:
        if self.alarm is not None:
            self.alarm.cancel()
            self.alarm = None
        taken, self.waiting = self.waiting, []
        return taken


class Asker:
    """Asks for each position that it is given, at once or in a batch.

    Args:
        turn_timeout: seconds for one call of a player, for however many positions.
        pulse: shows the call under way.
    """

    def __init__(self, turn_timeout: float, pulse: Pulse, listener: Listener) -> None:
        self._timeout = turn_timeout
        self._pulse = pulse
        self._listener = listener
        self._clock = TurnClock(turn_timeout)
        # Seconds that agents have kept the event loop from everything else.
        self._busy = 0.0
        self._batches: dict[Player, _Batch] = {}

    def seated(self, seat: Seat) -> None:
        """Has a player that chooses for batches prepare for a battle."""
        if seat.batched:
            self._batch_of(seat).seats += 1
            self._mention(seat, "battle_began")

    def left(self, seat: Seat) -> None:
        """Has it forget the battle."""
        if seat.batched:
            batch = self._batch_of(seat)
            batch.seats -= 1
            with suppress(ValueError):
                batch.waiting.remove(seat)
            self._mention(seat, "battle_ended")

    def ask(self, seat: Seat) -> None:
        """Asks the seat's player, now or with its next batch."""
        seat.tries += 1
        seat.questions += 1
        set_decision_seed(seat.battle, seat.luck + seat.questions)
        if seat.battle.teampreview:
            self._call([seat], seat.player.teampreview, seat.battle, self._answer)
        elif not seat.batched:
            self._call([seat], seat.player.choose_move, seat.battle, self._answer)
        else:
            batch = self._batch_of(seat)
            batch.waiting.append(seat)
            if batch.full():
                self._ask_all(batch)
            elif batch.alarm is None:
                seconds = getattr(batch.player, "batch_seconds", BATCH_SECONDS)
                batch.alarm = asyncio.get_running_loop().call_later(seconds, self._ask_all, batch)

    def waiting(self) -> bool:
        """Whether positions wait for others to join them."""
        return any(batch.waiting for batch in self._batches.values())

    def flush(self) -> None:
        """Asks for all positions that wait: no others can join them."""
        for batch in self._batches.values():
            if batch.waiting:
                self._ask_all(batch)

    def timed(self, seat: Seat, function: Callable[..., Any], *arguments: Any) -> Any:
        """What a function of the seat's player returns.

        Raises:
            TurnTimeout: it took longer than the limit.
        """
        self._pulse.begin(seat.game, seat.side, self._timeout)
        started = time.monotonic()
        try:
            return self._clock.call(function, *arguments)
        finally:
            self._busy += time.monotonic() - started
            self._pulse.end()

    def _batch_of(self, seat: Seat) -> _Batch:
        player = chooser(seat.player)
        if player not in self._batches:
            self._batches[player] = _Batch(player)
        return self._batches[player]

    def _mention(self, seat: Seat, event: str) -> None:
        hook = getattr(chooser(seat.player), event, None)
        if hook is None:
            return
        try:
            self.timed(seat, hook, seat.battle)
        except (Exception, TurnTimeout) as error:
            self._listener.remarked(seat, error)

    def _ask_all(self, batch: _Batch) -> None:
        self._call_for(batch.player, batch.take())

    def _call_for(self, player: Any, seats: Sequence[Seat]) -> None:
        if not takes_states(player):
            self._call(seats, player.choose_batch, [seat.battle for seat in seats], self._answer_all)
            return
        known = [seat for seat in seats if seat.trajectory is not None]
        if known:
            self._call(known, player.choose_positions, [seat.trajectory for seat in known], self._answer_all)
        for seat in seats:
            if seat.trajectory is None:
                self._listener.raised(seat, ValueError("the state of the battle could not be made"))

    def _call(self, seats: Sequence[Seat], function: Callable[[Any], Any], argument: Any, settle: Settle) -> None:
        luck.deal(seats[0].luck + seats[0].questions)
        try:
            answer = self.timed(seats[0], function, argument)
        except TurnTimeout:
            self._late(seats)
        except BaseException as error:
            self._failed(seats, error)
        else:
            if inspect.isawaitable(answer):
                self._wait_for(seats, answer, settle)
            else:
                settle(seats, seats, answer)

    def _answer(self, seats: Sequence[Seat], _: Sequence[Seat], answer: Any) -> None:
        self._listener.answered(seats[0], answer)

    def _answer_all(self, seats: Sequence[Seat], asked: Sequence[Seat], answers: Any) -> None:
        try:
            answers = list(answers)
        except TypeError:
            answers = [answers] * len(seats)
        if len(answers) != len(seats):
            self._failed(asked, ValueError(f"choose_batch made {len(answers)} choices for {len(seats)} positions"))
            return
        for seat, answer in zip(seats, answers, strict=True):
            if seat in asked:
                self._listener.answered(seat, answer)

    def _failed(self, seats: Sequence[Seat], error: BaseException) -> None:
        """Of many positions one may be what it cannot deal with: they are asked for one by one."""
        if len(seats) == 1:
            self._listener.raised(seats[0], error)
            return
        for seat in seats:
            self._call_for(chooser(seat.player), [seat])

    def _late(self, seats: Sequence[Seat]) -> None:
        for seat in seats:
            self._listener.timed_out(seat)

    def _wait_for(self, seats: Sequence[Seat], answer: Any, settle: Settle) -> None:
        loop = asyncio.get_running_loop()
        state = luck.save()
        began, busy_before, busy_itself = time.monotonic(), self._busy, 0.0

        def step(function: Callable[..., Any], argument: object) -> Any:
            nonlocal state, busy_itself
            luck.restore(state)
            before = self._busy
            try:
                return self.timed(seats[0], function, argument)
            finally:
                busy_itself += self._busy - before
                state = luck.save()

        async def decide() -> object:
            try:
                return await drive(answer, step)
            except (SystemExit, KeyboardInterrupt) as error:
                # Tasks let these two through, and they would end the event loop.
                raise RuntimeError(f"{type(error).__name__}: {error}") from error

        task = loop.create_task(decide())
        alarm = loop.call_later(self._timeout, lambda: late())
        # A battle that ends takes back its own question, and others of the same batch stay.
        waiting: dict[Seat, asyncio.Future[object]] = {}
        for seat in seats:
            waiting[seat] = seat.task = task if len(seats) == 1 else loop.create_future()

        def still_asked() -> list[Seat]:
            asked = [seat for seat, mark in waiting.items() if seat.task is mark]
            for seat in asked:
                seat.task = None
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
                settle(seats, asked, finished.result())

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
