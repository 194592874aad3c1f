"""The settings of a run: agents, number of battles, and how they are played."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from pokeladder.errors import UsageError
from pokeladder.runs.teams import DEFAULT_TEAM_SET, Team

if TYPE_CHECKING:
    from pokeladder.agents.programs import Program
    from pokeladder.agents.specs import Agent
    from pokeladder.runs.progress import Progress

Venue = Literal["embedded", "server"]
RunKind = Literal["tournament", "selfplay"]
Watch = Callable[["Progress"], None]
Notify = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class PlaySettings:
    """How battles are played.

    Attributes:
        battle_format: any singles format of Showdown.
        team_set: a built-in set, one of metamon's, or a path; not used in formats with random teams.
        seed: seed of teams and battles; None draws one (``Progress.drawn_seed``), and matches any with ``resume``.
        workers: number of playing processes, on a server of simulating ones; None for one for each core.
        parallel: number of battles at once, on a server of pairs of agents' processes; None for eight a worker, on a
            server for one for each core.
        simulators: number of simulator processes of each worker, for agents that choose in batches.
        ray: address of a Ray cluster to play on: ``auto``, ``HOST:PORT`` or ``ray://HOST:PORT``.
        turn_timeout: time limit of a decision, in seconds.
        max_invalid, max_timeouts: number of invalid decisions, of time-outs in a battle, after which an agent forfeits.
        trajectories: whether trajectories are recorded, for training.
        venue: with ``server`` each agent plays in a process of its own, on a Showdown server that is started.
        server_url: URL of a running server to use instead.
        port: port of the started server; None for a free one, or the one that an agent needs.
        server_dir: folder for the started server's files, with its log of every battle.
        battle_backend: battle backend of metamon's agents: poke-env or metamon.
        gpus: CUDA's names of the GPUs over which agents' processes are distributed.
        resume: play the missing battles of the latest run with these settings, if there is one; without agents, of the
            latest unfinished run.
        allow_changed: resume even if the version of an agent differs from that in the run.
        more: number of battles of each two agents to add to the latest finished run of these agents with these
            settings; replaces the number of battles.
        watch: called with the :class:`~pokeladder.Progress` while battles are played.
        notify: called with lines for the user.
    """

    battle_format: str = "gen1ou"
    team_set: str = DEFAULT_TEAM_SET
    seed: int | None = None
    workers: int | None = None
    parallel: int | None = None
    simulators: int = 1
    ray: str | None = None
    turn_timeout: float = 60.0
    max_invalid: int = 100
    max_timeouts: int = 3
    trajectories: bool = True
    venue: Venue = "embedded"
    server_url: str | None = None
    port: int | None = None
    server_dir: str | os.PathLike[str] | None = None
    battle_backend: str = "poke-env"
    gpus: Sequence[str] = ()
    resume: bool = False
    allow_changed: bool = False
    more: int | None = None
    watch: Watch = field(default=lambda _: None)
    notify: Notify = field(default=lambda _: None)


@dataclass(frozen=True, kw_only=True)
class TournamentSettings(PlaySettings):
    """The settings of a round-robin.

    Attributes:
        agents: names, also of registered agents, ``module:Class`` texts, ``Player`` classes, or
            :class:`~pokeladder.Agent` objects.
        battles_per_matchup: number of battles of each two agents.
    """

    agents: Iterable[Any] = field(default=(), kw_only=False)
    battles_per_matchup: int = 200


@dataclass(frozen=True, kw_only=True)
class SelfPlaySettings(PlaySettings):
    """The settings of self-play, or of an agent's battles against another one.

    Attributes:
        agent, opponent: agents as in :class:`TournamentSettings`; without an opponent the agent plays against itself.
        num_battles: number of battles.
        parallel_instances: the same as ``parallel``.
    """

    agent: Any = field(default=None, kw_only=False)
    opponent: Any = field(default=None, kw_only=False)
    num_battles: int = 10_000
    parallel_instances: int | None = None


@dataclass(frozen=True)
class Plan:
    """A requested run.

    Attributes:
        battles: number of battles of each two agents, or of self-play.
        begin: number of draws of each matchup in the runs that this one adds to.

    Raises:
        UsageError: there is nothing to play, or settings contradict each other.
    """

    kind: RunKind
    agents: tuple[Agent | Program, ...]
    battles: int
    settings: PlaySettings
    begin: int = 0

    def __post_init__(self) -> None:
        settings = self.settings
        if self.kind == "tournament" and len(self.agents) < 2:
            raise UsageError("a tournament needs at least two agents: see `pokeladder agents`")
        if self.battles < 1:
            raise UsageError("the number of battles must be at least 1")
        if not settings.turn_timeout > 0 or settings.max_invalid < 1 or settings.max_timeouts < 1:
            raise UsageError("the turn timeout, max_invalid and max_timeouts must be above 0")
        if self.venue == "embedded":
            for agent in self.agents:
                if not agent.embedded:
                    raise UsageError(f"agent {agent.name} is a program, which plays on a server: add --venue server")
            if settings.battle_backend != "poke-env":
                raise UsageError(f"the battle backend {settings.battle_backend} needs a server: add --venue server")
        elif settings.ray is not None:
            raise UsageError("battles on a server cannot be played on a Ray cluster: leave out --ray or --venue server")

    @property
    def venue(self) -> Venue:
        return "server" if self.settings.server_url is not None else self.settings.venue

    def with_seed(self, seed: int) -> Plan:
        return replace(self, settings=replace(self.settings, seed=seed))

    def stored(self, teams: Sequence[Team]) -> str:
        """The stored settings as JSON, the column ``settings`` of ``runs``.

        Plans with equal stored settings have equal schedules. Newer settings are left out at their default values, so
        that runs of earlier versions can be resumed.

        Args:
            teams: teams of the team set; empty in formats with random teams.
        """
        settings = self.settings
        further: dict[str, Any] = {} if self.kind == "tournament" else {"kind": self.kind}
        if self.venue != "embedded":
            further |= {"venue": self.venue, "battle_backend": settings.battle_backend}
        if self.begin:
            further |= {"begin": self.begin}
        return json.dumps(
            {
                "agents": sorted((agent.identity() for agent in self.agents), key=lambda agent: agent["name"]),
                "battles_per_matchup": self.battles,
                "battle_format": settings.battle_format,
                "team_set": settings.team_set,
                "seed": settings.seed,
                "turn_timeout": settings.turn_timeout,
                "max_invalid": settings.max_invalid,
                "max_timeouts": settings.max_timeouts,
                "teams": {team.name: hashlib.sha256(team.packed.encode()).hexdigest()[:16] for team in teams},
                **further,
            }
        )
