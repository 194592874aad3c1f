"""Messages between the main process and the playing processes."""

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

# Moves and Pokémon by id, in the form of Showdown's data files; see ``additions`` in ``driver.js``.
Additions = Mapping[str, Mapping[str, dict[str, Any]]]


@dataclass(frozen=True)
class Rules:
    """The rules of all battles of a run.

    Attributes:
        format_id, gen: battle format and its generation.
        teams: packed teams by name; empty in formats with random teams.
        turn_timeout: time limit of a decision, in seconds.
        max_invalid, max_timeouts: number of invalid decisions, of time-outs in a battle, after which an agent forfeits.
        record_trajectories: whether trajectories are recorded.
        additions: moves and Pokémon that the generation's data lacks (see ``play/dex.py``).
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
        """Both sides' packed teams; None in formats with random teams."""
        if game.p1_team is None or game.p2_team is None:
            return None
        return self.teams[game.p1_team], self.teams[game.p2_team]


@dataclass(frozen=True)
class Job:
    """The settings of a worker.

    Attributes:
        simulators: number of its simulator processes.
    """

    simulator: Simulator
    agents: tuple[Agent, ...]
    rules: Rules
    simulators: int = 1


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt at a game.

    Attributes:
        number: number of the attempt, from 0.
        own_failures: attempts not caused to be void by another battle's agent, in this session.
    """

    game: Game
    number: int
    own_failures: int = 0

    def next(self, *, own_failure: bool) -> list[Attempt]:
        """The attempt after this void one, or none after :data:`~pokeladder.retries.ATTEMPTS`.

        Args:
            own_failure: whether no other battle's agent caused it.
        """
        failures = self.own_failures + own_failure
        return [Attempt(self.game, self.number + 1, failures)] if failures < retries.ATTEMPTS else []


@dataclass(frozen=True, slots=True)
class Ready:
    """Message of a worker that has made its agents and started its simulator."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Message of a worker that cannot play."""

    error: PokeladderError


@dataclass(frozen=True)
class AgentTask:
    """The task of an agent's process on a server.

    Attributes:
        user: user name to log in with.
        opponent: user name of the opponent.
        battles: number of battles to play.
        team: packed team; None in formats with random teams.
        team_folder: folder of teams, for programs.
        backend: battle backend, for metamon.
        gen, additions: see :class:`Rules`.
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
    """A battle whose trajectories are to be reconstructed from its input log.

    Attributes:
        number: number that identifies the battle in the answer.
        invalid_steps: of each side, the steps at which its first choice was illegal.
    """

    number: int
    format_id: str
    gen: int
    input_log: str
    invalid_steps: tuple[Sequence[int], Sequence[int]]


@dataclass(frozen=True)
class Reconstructed:
    """Both rebuilt trajectories, and the reasons of missing ones."""

    number: int
    trajectories: tuple[Recorded | None, Recorded | None]
    unrecorded: tuple[str | None, str | None] = (None, None)
