"""What a run needs before its first battle: simulator, format, teams and the versions of its agents."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from typing import Any

from pokeladder.agents.versions import Version, changes, version_of
from pokeladder.errors import AgentError, FormatError
from pokeladder.play.messages import Rules
from pokeladder.records import Game
from pokeladder.runs.schedule import draws, round_robin, selfplay
from pokeladder.runs.settings import Plan
from pokeladder.runs.teams import Team, load_teams, with_distinct_names
from pokeladder.simulator.process import Inquiry
from pokeladder.simulator.setup import Simulator, ensure_simulator
from pokeladder.store.files import new_run_id
from pokeladder.store.rows import Run

# Seeds that are drawn are below this: few enough digits to type, and enough never to meet twice.
SEEDS = 10**9


@dataclass(frozen=True)
class Prepared:
    """A plan that can be played.

    Attributes:
        format_id: of the battle format.
        teams: of the team set; none in formats with random teams.
        seed_drawn: the seed was not asked for.
    """

    plan: Plan
    simulator: Simulator
    rules: Rules
    teams: tuple[Team, ...]
    seed_drawn: bool = False

    @cached_property
    def versions(self) -> Mapping[str, Version]:
        """Of the agents, by name."""
        return {agent.name: version_of(agent) for agent in self.plan.agents}

    @property
    def stored(self) -> str:
        """What decides which battles are played (see :meth:`Plan.stored`)."""
        return self.plan.stored(self.teams)

    @property
    def settings(self) -> dict[str, Any]:
        """The same, parsed."""
        settings: dict[str, Any] = json.loads(self.stored)
        return settings

    def adding_to(self, base: Run) -> Prepared:
        """With the seed of a run, and draws that go on where that run's ended."""
        return replace(self, plan=replace(self.plan.with_seed(seed_of(base)), begin=drawn(base)))

    def seeded(self, earlier: Run | None) -> Prepared:
        """With a seed: the one that was asked for, else that of the run to go on with, else one that is drawn."""
        if self.plan.settings.seed is not None:
            return self
        seed = seed_of(earlier) if earlier else secrets.randbelow(SEEDS)
        return replace(self, plan=self.plan.with_seed(seed), seed_drawn=earlier is None)

    def games(self) -> list[Game]:
        """The whole schedule, of a plan with a seed."""
        plan = self.plan
        schedule = round_robin if plan.kind == "tournament" else selfplay
        names = [agent.name for agent in plan.agents]
        return schedule(names, plan.battles, [team.name for team in self.teams], plan.settings.seed or 0, plan.begin)

    def new_run(self, scheduled: int) -> Run:
        started_at = datetime.now(UTC)
        return Run(
            run_id=new_run_id(started_at),
            kind=self.plan.kind,
            format=self.rules.format_id,
            venue=self.plan.venue,
            settings=self.stored,
            scheduled=scheduled,
            started_at=started_at,
            pokeladder_version=version("pokeladder"),
            showdown_version=self.simulator.version,
        )


@dataclass(frozen=True)
class Known:
    """The version of an agent that a run was played with.

    Attributes:
        run_id: of that run.
        parts: see :class:`pokeladder.agents.versions.Version`.
    """

    run_id: str
    version: str
    parts: Mapping[str, str]


def prepare(plan: Plan) -> Prepared:
    """Sets the simulator up, looks the format up and checks the teams.

    Raises:
        AgentError, FormatError, TeamError, SimulatorError, UsageError: as the message says.
    """
    settings = plan.settings
    simulator = ensure_simulator(settings.notify)
    with Inquiry(simulator) as inquiry:
        # The other answers may be known; a Node that does not work shall be told of before it plays.
        inquiry.version()
        battle_format = singles_format(inquiry, settings.battle_format)
        format_id = battle_format["id"]
        additions = inquiry.additions(format_id)
        teams = [] if battle_format["random_teams"] else load_teams(settings.team_set, format_id, inquiry)
    rules = Rules(
        format_id=format_id,
        gen=battle_format["gen"],
        teams={team.name: with_distinct_names(team.packed) for team in teams},
        turn_timeout=settings.turn_timeout,
        max_invalid=settings.max_invalid,
        max_timeouts=settings.max_timeouts,
        record_trajectories=settings.trajectories,
        additions=additions,
    )
    return Prepared(plan, simulator, rules, tuple(teams))


def compare_versions(prepared: Prepared, known: Mapping[str, Known], *, resumed: bool) -> None:
    """Warns of agents that are not the versions that earlier battles were played with.

    Raises:
        AgentError: a run is to be resumed with another version, which was not allowed.
    """
    settings = prepared.plan.settings
    for name, now in prepared.versions.items():
        there = known.get(name)
        if there is None or there.version == now.digest:
            continue
        changed = "; ".join(changes(there.parts, now.parts))
        if resumed and not settings.allow_changed:
            raise AgentError(
                f"agent {name} is not the version that run {there.run_id} was played with ({changed}): restore it, "
                "go on with --allow-changed, or begin a new run under another name"
            )
        told = "from here on" if resumed else "now"
        settings.notify(
            f"warning: agent {name} is version {now.digest} {told}, and was {there.version} in run {there.run_id} "
            f"({changed}): battles of both count as its own; --by-version of ratings, elo, matchups and stats tells "
            "them apart"
        )


def seed_of(run: Run) -> int:
    return int(json.loads(run.settings)["seed"])


def drawn(run: Run) -> int:
    """How many draws of each matchup's teams and seeds a run and those that it adds to have made."""
    settings = json.loads(run.settings)
    names = [agent["name"] for agent in settings["agents"]]
    return int(settings.get("begin", 0)) + draws(names, settings["battles_per_matchup"])


def singles_format(inquiry: Inquiry, name: str) -> dict[str, Any]:
    """A format that can be played here (see ``Inquiry.format``).

    Raises:
        FormatError: Showdown does not know it, or it is not for one Pokémon a side.
    """
    # Showdown takes a format with custom rules for the format itself, and its battles would be rated with that one's.
    if "@@@" in name:
        raise FormatError(f"{name} has custom rules, which are not played: write a format's id alone, such as gen1ou")
    battle_format = inquiry.format(name)
    if battle_format is None:
        raise FormatError(f"Showdown has no format {name}: write its id, such as gen1ou or gen9randombattle")
    if battle_format["game_type"] != "singles":
        raise FormatError(f"{battle_format['id']} is a {battle_format['game_type']} format: only singles are played")
    return battle_format
