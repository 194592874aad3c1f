"""Prepares a run: simulator, format, teams, seed and the versions of its agents."""

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
from pokeladder.store.files import checked_output, new_run_id
from pokeladder.store.rows import Run

# Drawn seeds are below this: short enough to type, and too many to repeat.
SEEDS = 10**9


@dataclass(frozen=True)
class Prepared:
    """A plan that can be played.

    Attributes:
        format_id: id of the battle format.
        teams: teams of the team set; empty in formats with random teams.
        seed_drawn: whether the seed was drawn.
    """

    plan: Plan
    simulator: Simulator
    rules: Rules
    teams: tuple[Team, ...]
    seed_drawn: bool = False

    @cached_property
    def versions(self) -> Mapping[str, Version]:
        """Versions of the agents, by name."""
        return {agent.name: version_of(agent) for agent in self.plan.agents}

    @property
    def stored(self) -> str:
        """The stored settings (see :meth:`Plan.stored`)."""
        return self.plan.stored(self.teams)

    @property
    def settings(self) -> dict[str, Any]:
        """The stored settings, parsed."""
        settings: dict[str, Any] = json.loads(self.stored)
        return settings

    def adding_to(self, base: Run) -> Prepared:
        """The same with the seed of a run, and with the draws after those of that run."""
        return replace(self, plan=replace(self.plan.with_seed(seed_of(base)), begin=drawn(base)))

    def seeded(self, earlier: Run | None) -> Prepared:
        """The same with a seed: the given one, that of the resumed run, or a drawn one."""
        if self.plan.settings.seed is not None:
            return self
        seed = seed_of(earlier) if earlier else secrets.randbelow(SEEDS)
        return replace(self, plan=self.plan.with_seed(seed), seed_drawn=earlier is None)

    def games(self) -> list[Game]:
        """The schedule; the plan must have a seed."""
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
    """The version of an agent in an earlier run.

    Attributes:
        run_id: id of that run.
        parts: see :class:`pokeladder.agents.versions.Version`.
    """

    run_id: str
    version: str
    parts: Mapping[str, str]


def prepare(plan: Plan) -> Prepared:
    """Sets up the simulator, looks up the format, and checks the teams.

    Raises:
        AgentError, FormatError, TeamError, SimulatorError, UsageError: the plan cannot be played.
    """
    settings = plan.settings
    if settings.server_dir is not None:
        checked_output(settings.server_dir)
    simulator = ensure_simulator(settings.notify)
    with Inquiry(simulator) as inquiry:
        # Other answers may come from disk; this one shows that Node works.
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
    """Warns about agents whose version differs from that of earlier battles.

    Raises:
        AgentError: the version differs from that of the resumed run, and ``allow_changed`` is False.
    """
    settings = prepared.plan.settings
    for name, now in prepared.versions.items():
        there = known.get(name)
        if there is None or there.version == now.digest:
            continue
        changed = "; ".join(changes(there.parts, now.parts))
        if resumed and not settings.allow_changed:
            raise AgentError(
                f"agent {name} differs from its version in run {there.run_id} ({changed}): restore it, resume with "
                "--allow-changed, or begin a new run under another name"
            )
        told = "from here on" if resumed else "now"
        settings.notify(
            f"warning: agent {name} has version {now.digest} {told}, and had {there.version} in run {there.run_id} "
            f"({changed}): battles of both count for one agent; ratings, elo, matchups and stats separate them with "
            "--by-version"
        )


def seed_of(run: Run) -> int:
    return int(json.loads(run.settings)["seed"])


def drawn(run: Run) -> int:
    """Number of draws of each matchup's teams and seeds in a run and the runs that it adds to."""
    settings = json.loads(run.settings)
    names = [agent["name"] for agent in settings["agents"]]
    return int(settings.get("begin", 0)) + draws(names, settings["battles_per_matchup"])


def singles_format(inquiry: Inquiry, name: str) -> dict[str, Any]:
    """A singles format (see ``Inquiry.format``).

    Raises:
        FormatError: Showdown has no such format, or it is not a singles format.
    """
    # Showdown gives a format with custom rules the id of the format, so that its battles would be rated together.
    if "@@@" in name:
        raise FormatError(f"{name} has custom rules, which are not supported: write the id of a format, such as gen1ou")
    battle_format = inquiry.format(name)
    if battle_format is None:
        raise FormatError(f"Showdown has no format {name}: write its id, such as gen1ou or gen9randombattle")
    if battle_format["game_type"] != "singles":
        raise FormatError(f"{battle_format['id']} is a {battle_format['game_type']} format: only singles are played")
    return battle_format
