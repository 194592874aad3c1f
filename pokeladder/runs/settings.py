"""What users can set of a run: who plays, how many battles, and how."""

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
        seed: decides teams and battle seeds; None for one that is drawn (``Progress.drawn_seed``), and with ``resume``
            for any.
        workers: processes that play, and on a server those that simulate; None for one a core, of a cluster too.
        parallel: battles at once, over all workers, and on a server pairs of agents' processes; None for eight a
            worker, and on a server for one a core.
        simulators: simulator processes of each worker, all of whose battles a batch can come from.
        ray: play on the Ray cluster at this address: ``auto``, ``HOST:PORT`` or ``ray://HOST:PORT``.
        turn_timeout: seconds for one decision.
        max_invalid, max_timeouts: how many an agent may have in one battle before it forfeits.
        trajectories: also keep what each side knew and did at each decision, for training.
        venue: ``server`` has each agent play in a process of its own, on a Showdown server that is started for it.
        server_url: use this server instead, which is running already.
        port: of the server that is started; None for a free one, or the one that an agent insists on.
        server_dir: keep that server's files, with its log of every battle, in this folder.
        battle_backend: what metamon's agents read battles with: poke-env or metamon.
        gpus: what CUDA calls those to spread the processes of agents that use one over.
        resume: play what is missing of the latest run with these settings, all of it if there is none; without agents,
            of the latest unfinished run whatever its settings.
        allow_changed: resume though an agent is not the version that the run was played with.
        more: add so many battles of each two agents to those of the latest finished run that is like this one; the
            number of battles is not looked at then.
        watch: told the :class:`~pokeladder.Progress` while battles are played.
        notify: told what the user should know on the way, a line each.
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
    """Of a round-robin.

    Attributes:
        agents: names, ``module:Class`` texts, ``Player`` classes or :class:`~pokeladder.Agent` objects; registered
            names, too.
        battles_per_matchup: battles of each two agents.
    """

    agents: Iterable[Any] = field(default=(), kw_only=False)
    battles_per_matchup: int = 200


@dataclass(frozen=True, kw_only=True)
class SelfPlaySettings(PlaySettings):
    """Of an agent's battles against itself, or against another one.

    Attributes:
        agent, opponent: as the agents of a tournament; without an opponent the agent plays against itself.
        num_battles: how many battles.
        parallel_instances: as ``parallel``.
    """

    agent: Any = field(default=None, kw_only=False)
    opponent: Any = field(default=None, kw_only=False)
    num_battles: int = 10_000
    parallel_instances: int | None = None


@dataclass(frozen=True)
class Plan:
    """A run that is asked for.

    Attributes:
        battles: of each two agents, or of an agent against itself.
        begin: draws of each matchup's teams and seeds that went before, in the runs that this one adds to.

    Raises:
        UsageError: there is nothing to play, or the settings contradict each other.
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
            raise UsageError("the turn timeout and the numbers of invalid choices and time-outs must be above 0")
        if self.venue == "embedded":
            for agent in self.agents:
                if not agent.embedded:
                    raise UsageError(
                        f"agent {agent.name} is a program of its own, which plays on a server: add --venue server"
                    )
            if settings.battle_backend != "poke-env":
                raise UsageError(f"the battle backend {settings.battle_backend} needs a server: add --venue server")
        elif settings.ray is not None:
            raise UsageError("a server's battles are not played on a Ray cluster: leave out --ray, or --venue server")

    @property
    def venue(self) -> Venue:
        return "server" if self.settings.server_url is not None else self.settings.venue

    def with_seed(self, seed: int) -> Plan:
        return replace(self, settings=replace(self.settings, seed=seed))

    def stored(self, teams: Sequence[Team]) -> str:
        """What decides which battles are played, as JSON: the column ``settings`` of ``runs``.

        Plans that are equal in this have equal schedules. What is not there has its default value: runs of earlier
        versions know nothing of it.

        Args:
            teams: of the team set; none in formats with random teams.
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
