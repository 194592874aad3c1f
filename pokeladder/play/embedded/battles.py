"""Many battles at once in one simulator process, and the rule for agents that misbehave.

The rule: a choice that the simulator refuses is asked for again, up to :data:`TRIES` times. Then, and at once if the
agent raises, answers something that is no choice, or runs out of time, a random legal choice takes its place. Either
way the decision counts as invalid. After ``max_invalid`` invalid decisions or ``max_timeouts`` time-outs in one
battle the agent forfeits it.
"""

from __future__ import annotations

import hashlib
import logging
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from poke_env.player import Player
from poke_env.teambuilder import ConstantTeambuilder, TeambuilderPokemon

from pokeladder.play.embedded.decisions import Asker
from pokeladder.play.embedded.heartbeat import Pulse
from pokeladder.play.embedded.perspective import choice_text
from pokeladder.play.embedded.players import Mailbox, chooser
from pokeladder.play.embedded.side import Seat
from pokeladder.play.embedded.time_limit import TurnTimeout
from pokeladder.play.messages import Rules
from pokeladder.play.results import unrecorded
from pokeladder.records import Game, Notice, Outcome, Recorded, Result, Side
from pokeladder.seeds import showdown_seed, team_seed

TRIES = 3
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Table:
    game: Game
    attempt: int
    seats: tuple[Seat, Seat]
    started_at: datetime
    forfeit: str | None = None


def _mailbox(seat: Seat) -> Mailbox:
    mailbox = chooser(seat.player).ps_client.websocket
    # A bot may have put something of its own there, which then gets what it sends.
    return mailbox if isinstance(mailbox, Mailbox) else Mailbox()


class Referee:
    """Seats the players, passes their choices on, and reports every battle's result.

    Args:
        players: the player of each agent, and a second one for games of an agent against itself.
        post: sends a message about a battle to its simulator (see ``driver.js``).
        report: told each result and each notice.
    """

    def __init__(
        self,
        rules: Rules,
        players: Callable[[str, bool], Player],
        post: Callable[..., None],
        report: Callable[[Result | Notice], None],
        pulse: Pulse,
    ) -> None:
        self._rules = rules
        self._players = players
        self._post = post
        self._report = report
        self._asker = Asker(rules.turn_timeout, pulse, self)
        self._tables: dict[int, _Table] = {}
        self._started = 0
        # Messages that the simulator has not answered yet, of each battle.
        self._unanswered: Counter[int] = Counter()
        self._noticed: set[tuple[str, str]] = set()
        self._parsed_teams: dict[str, list[TeambuilderPokemon]] = {}

    def start(self, game: Game, attempt: int) -> None:
        """Begins a battle."""
        self._started += 1
        number = self._started
        tag = f"battle-{self._rules.format_id}-{number}"
        seats = (self._seat("p1", game, number, tag), self._seat("p2", game, number, tag))
        self._tables[number] = _Table(game, attempt, seats, datetime.now(UTC))
        for seat in seats:
            _mailbox(seat).open(tag, partial(self._heard, seat))
            self._asker.seated(seat)
        self._tell(
            "start",
            number,
            self._rules.format_id,
            game.seed,
            *({"name": seat.player.username, **self._team(game, seat.side)} for seat in seats),
        )

    def receive(self, message: list[Any]) -> None:
        """Takes in a message of the simulator."""
        kind, number, *rest = message
        table = self._tables.get(number)
        if table is None:
            return
        self._unanswered[number] -= 1
        if kind == "crash":
            self._report(Notice(f"the simulator raised in battle {table.game.index}: {rest[0].splitlines()[0]}"))
            log.error("the simulator raised in battle %d: %s", table.game.index, rest[0])
            self._void(number, "crash")
        else:
            self._take_in(number, table, *rest)
        if self._asker.waiting() and not self._unanswered.total():
            self._asker.flush()

    def _take_in(
        self,
        number: int,
        table: _Table,
        p1_lines: str,
        p2_lines: str,
        end: dict[str, Any] | None,
        choices: tuple[str | None, str | None],
        *requests: dict[str, Any] | None,
    ) -> None:
        for seat, lines, request, choice in zip(table.seats, (p1_lines, p2_lines), requests, choices, strict=True):
            seat.read(lines, request, choice)
        if end is not None:
            self._finish(number, table, end)
            return
        for seat in table.seats:
            if seat.asked:
                self._consider(seat)

    def waiting(self) -> list[int]:
        """Numbers of the battles that wait for the simulator."""
        return [number for number, messages in self._unanswered.items() if messages]

    def battles(self) -> Collection[int]:
        """Numbers of all battles that are under way."""
        return self._tables.keys()

    def void_those(self, numbers: Iterable[int], reason: str) -> None:
        """Ends battles as void: their simulator is gone."""
        for number in numbers:
            if number in self._tables:
                self._void(number, reason)

    def _seat(self, side: Side, game: Game, number: int, tag: str) -> Seat:
        agent = game.p1 if side == "p1" else game.p2
        player = self._players(agent, side == "p2" and game.p1 == game.p2)
        name = game.p1_team if side == "p1" else game.p2_team
        digest = hashlib.sha256(f"{game.seed}\n{side}\n{agent}".encode()).digest()
        luck_of_seat = int.from_bytes(digest[:8], "big")
        return Seat(
            side,
            agent,
            player,
            tag,
            self._rules.gen,
            self._parsed(name),
            luck_of_seat,
            self._rules.record_trajectories,
            table=number,
            game=game.index,
        )

    def _tell(self, kind: str, number: int, *rest: Any) -> None:
        """Tells the simulator something of a battle, which it answers."""
        self._unanswered[number] += 1
        self._post(kind, number, *rest)

    def _leave(self, seat: Seat) -> None:
        _mailbox(seat).leave(seat.battle.battle_tag)
        seat.leave()
        self._asker.left(seat)

    def _parsed(self, team: str | None) -> list[TeambuilderPokemon]:
        if team is None:
            return []
        if team not in self._parsed_teams:
            self._parsed_teams[team] = ConstantTeambuilder(self._rules.teams[team]).team
        return self._parsed_teams[team]

    def _team(self, game: Game, side: Side) -> dict[str, str]:
        name = game.p1_team if side == "p1" else game.p2_team
        if name is not None:
            return {"team": self._rules.teams[name]}
        return {"seed": team_seed(game, side)}

    def _packed_teams(self, game: Game, made: list[str]) -> tuple[str, str]:
        """Both teams, as they were given or, where Showdown made them, as it did."""
        p1, p2 = (
            made_team if name is None else self._rules.teams[name]
            for name, made_team in zip((game.p1_team, game.p2_team), made, strict=True)
        )
        return p1, p2

    def _consider(self, seat: Seat) -> None:
        """Answers a request: by asking the agent, or for it if it has had its chances."""
        seat.asked = False
        seat.sent = None
        refused, seat.refused = seat.refused, None
        if refused is not None:
            seat.count_invalid()
            self._notice(seat, "made an illegal choice", refused)
            if seat.tries >= TRIES or seat.invalid >= self._rules.max_invalid:
                self._choose_for(seat)
                return
        self._asker.ask(seat)

    def answered(self, seat: Seat, answer: object) -> None:
        if self._given_up(seat):
            return
        # A player may send its choice itself, and answer nothing.
        text = choice_text(answer, seat.battle) or seat.sent
        if isinstance(text, str):
            if text.startswith("/choose "):
                self._tell("choose", seat.table, seat.side, text[len("/choose ") :])
                return
            if text.startswith("/team "):
                self._tell("choose", seat.table, seat.side, text[1:])
                return
            if text.strip() == "/forfeit":
                self._forfeit(seat, "forfeit")
                return
        seat.count_invalid()
        self._notice(seat, "answered something that is no choice", repr(text))
        self._choose_for(seat)

    def raised(self, seat: Seat, error: BaseException) -> None:
        if self._given_up(seat):
            return
        seat.count_invalid()
        frames = traceback.extract_tb(error.__traceback__)
        place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
        if self._notice(seat, "raised", f"{type(error).__name__}: {error}{place}"):
            log.error("agent %s raised", seat.agent, exc_info=error)
        self._choose_for(seat)

    def timed_out(self, seat: Seat) -> None:
        if self._given_up(seat):
            return
        seat.count_invalid()
        seat.timeouts += 1
        self._notice(seat, "ran out of time", f"a decision took longer than {self._rules.turn_timeout:g} s")
        self._choose_for(seat)

    def remarked(self, seat: Seat, error: BaseException) -> None:
        self._notice(seat, "raised when a battle began or had ended", f"{type(error).__name__}: {error}")

    def _heard(self, seat: Seat, text: str, *, to_room: bool = True) -> None:
        """Carries out what the seat's player has sent as it would to a server."""
        for line in text.split("\n"):
            command, _, _ = line.strip().partition("|")
            word = command.split(" ")[0].lower()
            if to_room and word == "/forfeit":
                self._forfeit(seat, "forfeit")
            elif to_room and word in ("/choose", "/team"):
                seat.sent = command
            else:
                self._notice(seat, "sent a message, which only a server takes in", repr(command))

    def _given_up(self, seat: Seat) -> bool:
        """Whether the seat's battle is being ended by a forfeit, so that nothing more is asked of its players."""
        table = self._tables.get(seat.table)
        return table is None or table.forfeit is not None

    def _choose_for(self, seat: Seat) -> None:
        if seat.timeouts >= self._rules.max_timeouts:
            self._forfeit(seat, "timeout")
        elif seat.invalid >= self._rules.max_invalid:
            self._forfeit(seat, "invalid")
        else:
            self._tell("random", seat.table, seat.side, showdown_seed(seat.luck + seat.questions))

    def _forfeit(self, seat: Seat, reason: str) -> None:
        table = self._tables.get(seat.table)
        if table is not None and table.forfeit is None:
            table.forfeit = reason
            seat.give_up()
            self._tell("lose", seat.table, seat.side)

    def _finish(self, number: int, table: _Table, end: dict[str, Any]) -> None:
        del self._tables[number], self._unanswered[number]
        reason = table.forfeit if end["reason"] == "forfeit" and table.forfeit else end["reason"]
        winner: Side | None = end["winner"]
        outcome: Outcome = "tie" if winner is None else "win"
        for seat in table.seats:
            seat.finish()
        self._result(table, winner, outcome, reason, end["turns"], end)
        for seat in table.seats:
            seat.forget_question()
            try:
                self._asker.timed(seat, seat.player._battle_finished_callback, seat.battle)
            except (Exception, TurnTimeout) as error:
                self.remarked(seat, error)
            self._leave(seat)

    def _void(self, number: int, reason: str) -> None:
        table = self._tables.pop(number)
        del self._unanswered[number]
        for seat in table.seats:
            self._leave(seat)
        turns = max(seat.battle.turn for seat in table.seats)
        self._result(table, None, "void", reason, turns, None)

    def _result(
        self,
        table: _Table,
        winner: Side | None,
        outcome: Outcome,
        reason: str,
        turns: int,
        end: dict[str, Any] | None,
    ) -> None:
        p1, p2 = table.seats
        trajectories = (self._trajectory(p1), self._trajectory(p2)) if end else (None, None)
        self._report(
            Result(
                index=table.game.index,
                attempt=table.attempt,
                winner=winner,
                outcome=outcome,
                end_reason=reason,
                turns=turns,
                steps=(p1.steps, p2.steps),
                invalid=(p1.invalid, p2.invalid),
                left=tuple(end["left"]) if end else None,
                teams=self._packed_teams(table.game, end["teams"]) if end else None,
                input_log=end["input_log"] if end else None,
                trajectories=trajectories,
                started_at=table.started_at,
                finished_at=datetime.now(UTC),
                unrecorded=sum(seat.unrecorded is not None for seat in table.seats) if end else 0,
            )
        )

    def _trajectory(self, seat: Seat) -> Recorded | None:
        recorded = seat.recorded()
        if seat.unrecorded is not None:
            self._notice(seat, *unrecorded(seat.game, seat.unrecorded))
        return recorded

    def _notice(self, seat: Seat, kind: str, text: str) -> bool:
        first = (seat.agent, kind) not in self._noticed
        if first:
            self._noticed.add((seat.agent, kind))
            self._report(Notice(f"agent {seat.agent} {kind}: {text}", topic=f"{seat.agent} {kind}"))
        return first
