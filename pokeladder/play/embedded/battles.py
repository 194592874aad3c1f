"""Runs many battles at once, and applies the rule for agents that misbehave.

The rule: after a choice that the simulator refuses the agent is asked again, up to
:data:`~pokeladder.retries.CHOICES` times in all. Then a random legal choice is played; at once, if the agent raises,
answers with something that is not a choice, or exceeds the time limit. In all these cases the decision counts as
invalid. After ``max_invalid`` invalid decisions or ``max_timeouts`` time-outs in one battle the agent forfeits it.
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

from pokeladder.play.embedded.decisions import DecisionMaker
from pokeladder.play.embedded.heartbeat import Heartbeat
from pokeladder.play.embedded.perspective import choice_text
from pokeladder.play.embedded.players import NullWebsocket, chooser
from pokeladder.play.embedded.side import BattleSide
from pokeladder.play.embedded.time_limit import TurnTimeout
from pokeladder.play.messages import Rules
from pokeladder.play.results import end_reason, unrecorded
from pokeladder.records import Game, Notice, Outcome, Recorded, Result, Side
from pokeladder.retries import CHOICES
from pokeladder.seeds import showdown_seed, team_seed

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _RunningBattle:
    game: Game
    attempt: int
    sides: tuple[BattleSide, BattleSide]
    started_at: datetime
    forfeit: str | None = None


def _websocket(side: BattleSide) -> NullWebsocket:
    websocket = chooser(side.player).ps_client.websocket
    # A bot may have replaced the websocket; then its messages go there.
    return websocket if isinstance(websocket, NullWebsocket) else NullWebsocket()


class BattleRunner:
    """Runs battles: asks players for choices, sends these to the simulator, and reports every result.

    Args:
        players: returns an agent's player, or its double for self-play.
        post: sends a message about a battle to its simulator (see ``driver.js``).
        report: called with each result and each notice.
    """

    def __init__(
        self,
        rules: Rules,
        players: Callable[[str, bool], Player],
        post: Callable[..., None],
        report: Callable[[Result | Notice], None],
        heartbeat: Heartbeat,
    ) -> None:
        self._rules = rules
        self._players = players
        self._post = post
        self._report = report
        self._decisions = DecisionMaker(rules.turn_timeout, heartbeat, self)
        self._running: dict[int, _RunningBattle] = {}
        self._started = 0
        # Number of messages of each battle that the simulator has not answered.
        self._unanswered: Counter[int] = Counter()
        self._noticed: set[tuple[str, str]] = set()
        self._parsed_teams: dict[str, list[TeambuilderPokemon]] = {}

    def start(self, game: Game, attempt: int) -> None:
        """Starts a battle."""
        self._started += 1
        number = self._started
        tag = f"battle-{self._rules.format_id}-{number}"
        sides = (self._side("p1", game, number, tag), self._side("p2", game, number, tag))
        self._running[number] = _RunningBattle(game, attempt, sides, datetime.now(UTC))
        for side in sides:
            _websocket(side).open(tag, partial(self._carry_out_message, side))
            self._decisions.battle_began(side)
        self._tell(
            "start",
            number,
            self._rules.format_id,
            game.seed,
            *({"name": side.player.username, **self._team(game, side.id)} for side in sides),
        )

    def receive(self, message: list[Any]) -> None:
        """Handles a message of the simulator."""
        kind, number, *rest = message
        running = self._running.get(number)
        if running is None:
            return
        self._unanswered[number] -= 1
        if kind == "crash":
            self._report(Notice(f"the simulator raised in battle {running.game.index}: {rest[0].splitlines()[0]}"))
            log.error("the simulator raised in battle %d: %s", running.game.index, rest[0])
            self._void(number, "crash")
        else:
            self._take_in(number, running, *rest)
        if self._decisions.waiting() and not self._unanswered.total():
            self._decisions.flush()

    def _take_in(
        self,
        number: int,
        running: _RunningBattle,
        p1_lines: str,
        p2_lines: str,
        end: dict[str, Any] | None,
        choices: tuple[str | None, str | None],
        *requests: dict[str, Any] | None,
    ) -> None:
        for side, lines, request, choice in zip(running.sides, (p1_lines, p2_lines), requests, choices, strict=True):
            side.read(lines, request, choice)
        if end is not None:
            self._finish(number, running, end)
            return
        for side in running.sides:
            if side.asked:
                self._answer_request(side)

    def waiting(self) -> list[int]:
        """Numbers of the battles with unanswered messages."""
        return [number for number, messages in self._unanswered.items() if messages]

    def battles(self) -> Collection[int]:
        """Numbers of all running battles."""
        return self._running.keys()

    def void_those(self, numbers: Iterable[int], reason: str) -> None:
        """Ends battles as void, since their simulator has died."""
        for number in numbers:
            if number in self._running:
                self._void(number, reason)

    def _side(self, side_id: Side, game: Game, number: int, tag: str) -> BattleSide:
        agent = game.p1 if side_id == "p1" else game.p2
        player = self._players(agent, side_id == "p2" and game.p1 == game.p2)
        name = game.p1_team if side_id == "p1" else game.p2_team
        digest = hashlib.sha256(f"{game.seed}\n{side_id}\n{agent}".encode()).digest()
        seed = int.from_bytes(digest[:8], "big")
        return BattleSide(
            side_id,
            agent,
            player,
            tag,
            self._rules.gen,
            self._parsed(name),
            seed,
            self._rules.record_trajectories,
            battle_number=number,
            game=game.index,
        )

    def _tell(self, kind: str, number: int, *rest: Any) -> None:
        """Sends a message about a battle, which the simulator answers."""
        self._unanswered[number] += 1
        self._post(kind, number, *rest)

    def _leave(self, side: BattleSide) -> None:
        _websocket(side).leave(side.battle.battle_tag)
        side.leave()
        self._decisions.battle_ended(side)

    def _parsed(self, team: str | None) -> list[TeambuilderPokemon]:
        if team is None:
            return []
        if team not in self._parsed_teams:
            self._parsed_teams[team] = ConstantTeambuilder(self._rules.teams[team]).team
        return self._parsed_teams[team]

    def _team(self, game: Game, side_id: Side) -> dict[str, str]:
        name = game.p1_team if side_id == "p1" else game.p2_team
        if name is not None:
            return {"team": self._rules.teams[name]}
        return {"seed": team_seed(game, side_id)}

    def _packed_teams(self, game: Game, made: list[str]) -> tuple[str, str]:
        """Both packed teams: those of the rules, or those that Showdown has made."""
        p1, p2 = (
            made_team if name is None else self._rules.teams[name]
            for name, made_team in zip((game.p1_team, game.p2_team), made, strict=True)
        )
        return p1, p2

    def _answer_request(self, side: BattleSide) -> None:
        """Asks the agent about a request, or chooses for it after too many refused choices."""
        side.asked = False
        side.sent = None
        refused, side.refused = side.refused, None
        if refused is not None:
            side.count_invalid()
            self._notice(side, "made an illegal choice", refused)
            if side.tries >= CHOICES or side.invalid >= self._rules.max_invalid:
                self._choose_for(side)
                return
        self._decisions.ask(side)

    def answered(self, side: BattleSide, answer: object) -> None:
        if self._is_ending(side):
            return
        # A player may send its choice as a message, and return nothing.
        text = choice_text(answer, side.battle) or side.sent
        if isinstance(text, str):
            if text.startswith("/choose "):
                self._tell("choose", side.battle_number, side.id, text[len("/choose ") :])
                return
            if text.startswith("/team "):
                self._tell("choose", side.battle_number, side.id, text[1:])
                return
            if text.strip() == "/forfeit":
                self._forfeit(side, "forfeit")
                return
        side.count_invalid()
        self._notice(side, "returned something that is not a choice", repr(text))
        self._choose_for(side)

    def raised(self, side: BattleSide, error: BaseException) -> None:
        if self._is_ending(side):
            return
        side.count_invalid()
        frames = traceback.extract_tb(error.__traceback__)
        place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
        if self._notice(side, "raised", f"{type(error).__name__}: {error}{place}"):
            log.error("agent %s raised", side.agent, exc_info=error)
        self._choose_for(side)

    def timed_out(self, side: BattleSide) -> None:
        if self._is_ending(side):
            return
        side.count_invalid()
        side.timeouts += 1
        self._notice(side, "ran out of time", f"a decision took longer than {self._rules.turn_timeout:g} s")
        self._choose_for(side)

    def remarked(self, side: BattleSide, error: BaseException) -> None:
        self._notice(side, "raised when a battle began or had ended", f"{type(error).__name__}: {error}")

    def _carry_out_message(self, side: BattleSide, text: str, *, to_room: bool = True) -> None:
        """Handles a message that a player has sent to its server."""
        for line in text.split("\n"):
            command, _, _ = line.strip().partition("|")
            word = command.split(" ")[0].lower()
            if to_room and word == "/forfeit":
                self._forfeit(side, "forfeit")
            elif to_room and word in ("/choose", "/team"):
                side.sent = command
            else:
                self._notice(side, "sent a message that has no effect without a server", repr(command))

    def _is_ending(self, side: BattleSide) -> bool:
        """Whether the side's battle is ending by a forfeit, so that no more decisions are asked for."""
        running = self._running.get(side.battle_number)
        return running is None or running.forfeit is not None

    def _choose_for(self, side: BattleSide) -> None:
        if side.timeouts >= self._rules.max_timeouts:
            self._forfeit(side, "timeout")
        elif side.invalid >= self._rules.max_invalid:
            self._forfeit(side, "invalid")
        else:
            self._tell("random", side.battle_number, side.id, showdown_seed(side.seed + side.questions))

    def _forfeit(self, side: BattleSide, reason: str) -> None:
        running = self._running.get(side.battle_number)
        if running is not None and running.forfeit is None:
            running.forfeit = reason
            side.give_up()
            self._tell("lose", side.battle_number, side.id)

    def _finish(self, number: int, running: _RunningBattle, end: dict[str, Any]) -> None:
        del self._running[number], self._unanswered[number]
        winner: Side | None = end["winner"]
        reason = end_reason(end["turns"], winner, end["left"], berry_cycling=end["berry_cycling"])
        if end["forfeited"]:
            reason = running.forfeit or "forfeit"
        outcome: Outcome = "tie" if winner is None else "win"
        for side in running.sides:
            side.finish()
        self._result(running, winner, outcome, reason, end["turns"], end)
        for side in running.sides:
            side.forget_question()
            try:
                self._decisions.timed(side, side.player._battle_finished_callback, side.battle)
            except (Exception, TurnTimeout) as error:
                self.remarked(side, error)
            self._leave(side)

    def _void(self, number: int, reason: str) -> None:
        running = self._running.pop(number)
        del self._unanswered[number]
        for side in running.sides:
            self._leave(side)
        turns = max(side.battle.turn for side in running.sides)
        self._result(running, None, "void", reason, turns, None)

    def _result(
        self,
        running: _RunningBattle,
        winner: Side | None,
        outcome: Outcome,
        reason: str,
        turns: int,
        end: dict[str, Any] | None,
    ) -> None:
        p1, p2 = running.sides
        trajectories = (self._trajectory(p1), self._trajectory(p2)) if end else (None, None)
        self._report(
            Result(
                index=running.game.index,
                attempt=running.attempt,
                winner=winner,
                outcome=outcome,
                end_reason=reason,
                turns=turns,
                steps=(p1.steps, p2.steps),
                invalid=(p1.invalid, p2.invalid),
                left=tuple(end["left"]) if end else None,
                teams=self._packed_teams(running.game, end["teams"]) if end else None,
                input_log=end["input_log"] if end else None,
                trajectories=trajectories,
                started_at=running.started_at,
                finished_at=datetime.now(UTC),
                unrecorded=sum(side.unrecorded is not None for side in running.sides) if end else 0,
            )
        )

    def _trajectory(self, side: BattleSide) -> Recorded | None:
        recorded = side.recorded()
        if side.unrecorded is not None:
            self._notice(side, *unrecorded(side.game, side.unrecorded))
        return recorded

    def _notice(self, side: BattleSide, kind: str, text: str) -> bool:
        first = (side.agent, kind) not in self._noticed
        if first:
            self._noticed.add((side.agent, kind))
            self._report(Notice(f"agent {side.agent} {kind}: {text}", topic=f"{side.agent} {kind}"))
        return first
