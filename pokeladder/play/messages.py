"""Messages between the process that keeps the store and those that play."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pokeladder import retries
from pokeladder.agents.programs import Program, Role
from pokeladder.agents.specs import Agent
from pokeladder.errors import PokeladderError
from pokeladder.records import Game, Recorded
from pokeladder.simulator.setup import Simulator

# Moves and Pokémon by their ids, as Showdown's data files have them; see ``additions`` in ``driver.js``.
Additions = Mapping[str, Mapping[str, dict[str, Any]]]


@dataclass(frozen=True)
class Rules:
    """What all battles of a run have in common.

    Attributes:
        format_id, gen: the battle format.
        teams: packed team of each team name; empty where Showdown makes the teams.
        turn_timeout: seconds an agent may take for one decision.
        max_invalid, max_timeouts: how many an agent may have in one battle before it forfeits.
        record_trajectories: whether to keep what each side knew and did at each decision.
        additions: moves and Pokémon that the format has beyond its generation's (see ``play/dex.py``).
    """

    format_id: str
    gen: int
    teams: dict[str, str]
    turn_timeout: float
    max_invalid: int
    max_timeouts: int
    record_trajectories: bool
    additions: Additions = field(default_factory=dict)

    def packed_teams(self, game: Game) -> tuple[str, str] | None:
        """Both sides' teams; None where Showdown makes them."""
        if game.p1_team is None or game.p2_team is None:
            return None
        return self.teams[game.p1_team], self.teams[game.p2_team]


@dataclass(frozen=True)
class Job:
    """What a worker needs to know before its first game.

    Attributes:
        simulators: how many simulator processes it keeps.
    """

    simulator: Simulator
    agents: tuple[Agent, ...]
    rules: Rules
    simulators: int = 1


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt at a game.

    Attributes:
        number: how often the game was begun before.
        own_failures: void attempts of this session that no other battle's agent ended.
    """

    game: Game
    number: int
    own_failures: int = 0

    def next(self, *, own_failure: bool) -> list[Attempt]:
        """The attempt that follows this one, which was void; none after :data:`~pokeladder.retries.ATTEMPTS`.

        Args:
            own_failure: no other battle's agent ended it.
        """
        failures = self.own_failures + own_failure
        return [Attempt(self.game, self.number + 1, failures)] if failures < retries.ATTEMPTS else []


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has built its agents and started its simulator."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker cannot play at all."""

    error: PokeladderError


@dataclass(frozen=True)
class AgentTask:
    """What an agent's process is to do on a server.

    Attributes:
        user: the name to log in as.
        opponent: its user name.
        battles: how many to play before the process ends.
        team: packed; None where Showdown makes the teams.
        team_folder: a folder of teams, for programs.
        backend: the battle backend, for metamon.
        gen, additions: as the rules have them.
    """

    agent: Agent | Program
    user: str
    opponent: str
    url: str
    format_id: str
    role: Role
    battles: int
    team: str | None
    team_folder: Path
    backend: str
    gen: int
    additions: Additions


@dataclass(frozen=True)
class ReconstructJob:
    """A battle of which both trajectories are to be made from its input log.

    Attributes:
        number: the battle's number in the answer.
        invalid_steps: of each side, the steps at which it had no legal choice to offer at first.
    """

    number: int
    format_id: str
    gen: int
    input_log: str
    invalid_steps: tuple[Sequence[int], Sequence[int]]


@dataclass(frozen=True)
class Reconstructed:
    """Both rebuilt trajectories, None where there is none, and why those that could not be made are missing."""

    number: int
    trajectories: tuple[Recorded | None, Recorded | None]
    unrecorded: tuple[str | None, str | None] = (None, None)
