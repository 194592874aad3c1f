"""Sessions: the processes of two agents that play games of their matchup one after the other."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from pokeladder.agents.programs import Program, Role
from pokeladder.agents.specs import Agent
from pokeladder.metamon.output import MetamonOutput
from pokeladder.play.messages import Attempt
from pokeladder.play.server.agent_process import AgentProcess
from pokeladder.records import Game

# Seconds for the server to report the end of the last battle after a process has ended.
PARTING_SECONDS = 2.0
# Seconds for a process to end by itself after its last battle.
LEAVING_SECONDS = 10.0
# Number of battles after which agents' processes are replaced, which limits leaks.
GAMES_A_SESSION = 500


@dataclass(frozen=True)
class Begun:
    """A running battle; ``since`` is on the monotonic clock."""

    attempt: Attempt
    started_at: datetime
    since: float


@dataclass
class Session:
    """A session; agents, user names and roles have one order.

    Attributes:
        left: games that have not begun.
        directed: whether the server reports which users are ready.
        begun: running battles, by room.
        processes: started processes, by user.
        outputs: output folders of users whose program writes trajectories.
        quiet_since: time of the last battle's end, or of both logins.
        ready: users who have challenged their opponent, or wait on the ladder, since the last battle.
        suspect: the agent that lost the last battle by time-out or absence.
        over_since: time at which the last battle had ended and was stored.
    """

    agents: tuple[Agent | Program, Agent | Program]
    users: tuple[str, str]
    roles: tuple[Role, Role]
    left: deque[Attempt]
    directed: bool
    begun: dict[str, Begun] = field(default_factory=dict)
    processes: list[AgentProcess] = field(default_factory=list)
    outputs: dict[str, MetamonOutput] = field(default_factory=dict)
    quiet_since: float = field(default_factory=time.monotonic)
    ready: set[str] = field(default_factory=set)
    suspect: str | None = None
    over_since: float | None = None

    def agent_of(self, user: str) -> str:
        return self.agents[self.users.index(user)].name

    def users_of(self, game: Game) -> tuple[str, str]:
        """The users of p1 and p2; in self-play the agent's two users keep their sides."""
        return self.users if game.p1 == self.agents[0].name else (self.users[1], self.users[0])

    def process_of(self, agent: str) -> AgentProcess | None:
        return next((process for process in self.processes if process.agent.name == agent), None)

    def begin(self, room: str, number: int, started_at: datetime) -> None:
        """Records that a game has begun."""
        attempt = next(attempt for attempt in self.left if attempt.game.index == number)
        self.left.remove(attempt)
        self.begun[room] = Begun(attempt, started_at, time.monotonic())
        self.ready.clear()

    def failures(self) -> dict[str, str]:
        """The agents whose processes have ended or exceed a time limit, with a clause about each."""
        now = time.monotonic()
        failed: dict[str, str] = {}
        for process in self.processes:
            status, limits, name = process.status(), process.limits, process.agent.name
            if status is not None and process.ended is not None and now > process.ended + PARTING_SECONDS:
                unfinished = len(self.left) + len(self.begun)
                failed[name] = f"ended with exit status {status} before {unfinished} of its battles were over"
            elif not process.online and now > process.started + limits.start_timeout:
                failed[name] = f"did not log in within {limits.start_timeout:g} s"
            elif any(now > begun.since + limits.battle_timeout for begun in self.begun.values()):
                failed[name] = f"was in a battle for more than {limits.battle_timeout:g} s"
        return failed or self._idle(now)

    def over(self) -> bool:
        """Whether the processes have ended or had enough time to; called once all games have ended and are stored."""
        now = time.monotonic()
        self.over_since = self.over_since or now
        return now > self.over_since + LEAVING_SECONDS or all(
            process.status() is not None for process in self.processes
        )

    def _idle(self, now: float) -> dict[str, str]:
        who = self._late()
        limit = max(agent.limits.start_timeout for agent in who)
        here = len(self.processes) == len(self.users) and all(process.online for process in self.processes)
        if not here or self.begun or now < self.quiet_since + limit:
            return {}
        return dict.fromkeys((agent.name for agent in who), f"began no battle within {limit:g} s")

    def _late(self) -> list[Agent | Program]:
        """The agents that delay a battle: those who are not ready or did not accept; both, if unknown."""
        if self.suspect is not None:
            return [agent for agent in self.agents if agent.name == self.suspect]
        if self.directed and not self.ready and "challenger" in self.roles:
            return [self.agents[self.roles.index("challenger")]]
        late = [agent for agent, user in zip(self.agents, self.users, strict=True) if user not in self.ready]
        return late or list(self.agents)


def chunks(games: Iterable[Attempt], parallel: int, fixed: Container[str] = ()) -> Iterator[deque[Attempt]]:
    """Splits each matchup's games into parts so that all sessions are busy; mirrored pairs stay together.

    Args:
        fixed: agents that keep one team in each part.
    """
    matchups: dict[tuple[tuple[str, str | None], ...], list[Attempt]] = {}
    for attempt in games:
        game = attempt.game
        sides = sorted(((game.p1, game.p1_team), (game.p2, game.p2_team)), key=lambda side: side[0])
        key = tuple((agent, team if agent in fixed else None) for agent, team in sides)
        matchups.setdefault(key, []).append(attempt)
    parts = -(-parallel // max(1, len(matchups)))
    for attempts in matchups.values():
        size = min(-(-len(attempts) // parts), GAMES_A_SESSION)
        size += size % 2
        for begin in range(0, len(attempts), size):
            yield deque(attempts[begin : begin + size])
