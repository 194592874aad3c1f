"""Starts a run, or finds a stored run and resumes it."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, NoReturn

import duckdb

from pokeladder.agents.programs import Program
from pokeladder.agents.specs import Agent, Directory
from pokeladder.agents.versions import Version, shown
from pokeladder.errors import AgentError, UsageError
from pokeladder.query import statements, views
from pokeladder.query.texts import query_text
from pokeladder.runs.execution import History, execute
from pokeladder.runs.preparation import Known, compare_versions, drawn, prepare
from pokeladder.runs.progress import Progress
from pokeladder.runs.settings import Notify, Plan, PlaySettings, RunKind
from pokeladder.store.files import Store
from pokeladder.store.rows import AgentVersion, Run

# The queries about earlier runs.
QUERIES = ("played_runs", "games_so_far", "run_versions", "latest_versions")
# The stored settings, besides those of :class:`~pokeladder.runs.settings.Plan`.
STORED = (
    "battle_format",
    "team_set",
    "seed",
    "turn_timeout",
    "max_invalid",
    "max_timeouts",
)


def play(
    store: Store,
    registry: Directory,
    kind: RunKind,
    agents: Sequence[Agent | Program],
    battles: int,
    settings: PlaySettings,
) -> Progress:
    """Plays a new run, or the missing battles of a stored one.

    Args:
        kind: kind of the run; only runs of this kind are resumed.
        agents: empty to resume the latest unfinished run.
        battles: number of battles of each two agents, or of self-play.

    Returns:
        The final progress; ``stored`` is less than ``scheduled`` if battles stayed void after all attempts.

    Raises:
        AgentError, FormatError, TeamError, SimulatorError, StoreError, UsageError: the run cannot be played, or not to
            its end.
        InterruptedRunError: stopped by Ctrl-C; finished battles are stored.
    """
    notify = settings.notify
    connection = views.connect(store.files, items=views.needed("\n".join(map(query_text, QUERIES))))
    past = _Past(connection, kind, resume=settings.resume, named=bool(agents), notify=notify)
    if settings.resume and not agents:
        unfinished = next((run for run, finished in past.runs() if not finished), None)
        if unfinished is None:
            raise UsageError(f"{store.folder} has no unfinished {kind}: name agents to play one")
        plan = _plan_of(unfinished, registry, settings)
        # Code named in a store is run: users who resume another person's store should see it.
        for agent in plan.agents:
            notify(f"Resuming run {unfinished.run_id} runs agent {shown(agent)}.")
    else:
        plan = Plan(kind, tuple(agents), battles if settings.more is None else settings.more, settings)
    prepared = prepare(plan)
    if settings.more is not None and agents:
        prepared = prepared.adding_to(past.find_base(prepared.settings))
    earlier = past.find_run(prepared.settings)
    prepared = prepared.seeded(earlier)
    scheduled = len(prepared.games())
    run = earlier or prepared.new_run(scheduled)
    known = past.versions(run) if earlier else past.latest_versions(list(prepared.versions))
    compare_versions(prepared, known, resumed=earlier is not None)
    with store.lock_run(run.run_id):
        # Another process may have played the run before it was locked.
        store.clear_unfinished(run.run_id)
        history = past.history(run)
        if earlier is not None:
            notify(f"Run {run.run_id} has {len(history.played)} of {scheduled} battles.")
            if run.showdown_version != prepared.simulator.version:
                notify(
                    f"warning: it began with Showdown {run.showdown_version} and continues with "
                    f"{prepared.simulator.version}"
                )
        new_versions = _new_versions(run, prepared.versions, known if earlier else {})
        return execute(store, prepared, run, history, new_versions, resumed=earlier is not None)


def _new_versions(run: Run, now: Mapping[str, Version], known: Mapping[str, Known]) -> list[AgentVersion]:
    """The versions of a run's agents that are not in the store."""
    recorded_at = datetime.now(UTC)
    return [
        AgentVersion(run.run_id, name, version.digest, version.as_json(), recorded_at)
        for name, version in now.items()
        if name not in known or known[name].version != version.digest
    ]


def _plan_of(run: Run, directory: Directory, settings: PlaySettings) -> Plan:
    """The plan of a stored run, with the present settings of workers, server and similar.

    Raises:
        AgentError: an agent's parameters cannot be read, or it is registered differently.
    """
    stored = json.loads(run.settings)
    kept = {name: stored[name] for name in STORED}
    venue, backend = stored.get("venue", "embedded"), stored.get("battle_backend", "poke-env")
    url = settings.server_url if venue == "server" else None
    return Plan(
        kind=stored.get("kind", "tournament"),
        agents=tuple(_agent(identity, directory) for identity in stored["agents"]),
        battles=stored["battles_per_matchup"],
        settings=replace(settings, **kept, venue=venue, battle_backend=backend, server_url=url),
        begin=stored.get("begin", 0),
    )


class _Past:
    """Finds earlier runs in the store.

    Args:
        kind: kind of the runs.
        resume: whether a run is to be resumed.
        named: whether it must have the given agents; otherwise it is the latest unfinished run.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, kind: str, *, resume: bool, named: bool, notify: Notify
    ) -> None:
        self._connection = connection
        self._kind = kind
        self._resume = resume
        self._named = named
        self._notify = notify

    def runs(self) -> list[tuple[Run, bool]]:
        """The runs of the kind, the latest first, and whether each is finished."""
        found = statements.tuples(self._connection, "played_runs", {"kind": self._kind})
        return [(Run(*columns), finished) for *columns, finished in found]

    def find_run(self, settings: Mapping[str, Any]) -> Run | None:
        """The run to resume; None for a new one.

        Args:
            settings: settings of the run; a seed of None matches any.

        Raises:
            UsageError: an unfinished run has other settings.
        """
        if not self._resume:
            return None
        runs = self.runs()
        like = next((run for run, _ in runs if not _differing(json.loads(run.settings), settings)), None)
        if like is not None:
            return like
        for run in (run for run, finished in runs if not finished):
            asked = json.loads(run.settings)
            if not self._named or _names(asked) == _names(settings):
                self._refuse(run, asked, settings)
        self._notify("No run of these agents with these settings can be resumed: a new run begins.")
        return None

    def _refuse(self, run: Run, asked: Mapping[str, Any], wanted: Mapping[str, Any]) -> NoReturn:
        told = "; ".join(_told(key, asked.get(key), wanted.get(key)) for key in _differing(asked, wanted))
        remedy = f"finish it with `pokeladder {self._kind} --resume`, or leave out --resume to begin a new run"
        if not self._named:
            remedy = "restore them, or name the agents without --resume to begin a new run"
        raise UsageError(f"the settings of the unfinished run {run.run_id} differ ({told}): {remedy}")

    def find_base(self, settings: Mapping[str, Any]) -> Run:
        """The run to add battles to: among those that differ only in the number of battles, the one with the last
        draws.

        Raises:
            UsageError: there is none, or one is not finished.
        """
        alike = ("battles_per_matchup", "begin")
        found = [
            (run, finished)
            for run, finished in self.runs()
            if not set(_differing(json.loads(run.settings), settings)) - set(alike)
        ]
        if not found:
            raise UsageError(
                f"there is no {self._kind} of these agents with these settings to add to: play it without --more first"
            )
        # The latest run decides the seed; draws continue after all runs with it.
        seed = found[0][0].seed
        series = [(run, finished) for run, finished in found if run.seed == seed]
        for run, finished in series:
            if not finished:
                raise UsageError(
                    f"run {run.run_id}, to which --more would add, is not finished: finish it first with "
                    f"`pokeladder {self._kind} --resume`"
                )
        return max((run for run, _ in series), key=drawn)

    def history(self, run: Run) -> History:
        """The stored games of a run."""
        found = statements.tuples(self._connection, "games_so_far", {"run": run.run_id})
        return History(
            played=frozenset(game for game, played, _ in found if played),
            voided={game: voided for game, _, voided in found},
        )

    def versions(self, run: Run) -> dict[str, Known]:
        """The versions of a run's agents, by name; none for runs of pokeladder 0.1.0."""
        return self._known("run_versions", {"run": run.run_id})

    def latest_versions(self, names: Sequence[str]) -> dict[str, Known]:
        """The latest version of each agent."""
        return self._known("latest_versions", {"agents": list(names)})

    def _known(self, query: str, parameters: Mapping[str, object]) -> dict[str, Known]:
        found = statements.tuples(self._connection, query, parameters)
        return {agent: Known(run_id, version, json.loads(parts)) for agent, run_id, version, parts in found}


def _differing(asked: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """The settings in which two runs differ; a seed of None matches any."""
    return [
        key
        for key in dict.fromkeys([*asked, *wanted])
        if asked.get(key) != wanted.get(key) and not (key == "seed" and wanted["seed"] is None)
    ]


def _names(settings: Mapping[str, Any]) -> list[str]:
    return [agent["name"] for agent in settings["agents"]]


def _told(setting: str, asked: object, wanted: object) -> str:
    """The difference of a setting, as text."""
    name = setting.replace("_", " ")
    if isinstance(asked, dict | list) or isinstance(wanted, dict | list):
        return f"other {name}"
    return f"{name} {asked}, not {wanted}"


def _agent(identity: dict[str, Any], directory: Directory) -> Agent | Program:
    if "kind" in identity:
        program = directory.find(identity["base"], identity["name"], identity["parameters"])
        if program is None or program.identity() != identity:
            what = "is no longer registered" if program is None else "is registered differently now"
            raise AgentError(
                f"agent {identity['name']} {what}: register it as before, or name the agents to begin a new run"
            )
        return program
    target = identity["target"]
    if target.startswith("__main__:"):
        target = _of_main(identity["name"], target.partition(":")[2])
    try:
        return Agent(
            identity["name"],
            target,
            {key: ast.literal_eval(value) for key, value in identity["parameters"].items()},
        )
    except (ValueError, SyntaxError) as error:
        raise AgentError(
            f"the parameters of agent {identity['name']} cannot be read from the store: name the agents to resume"
        ) from error


def _of_main(name: str, path: str) -> Any:
    """A class of a notebook or script, which only its own process has.

    Raises:
        AgentError: this process does not have the class.
    """
    try:
        return attrgetter(path)(sys.modules["__main__"])
    except AttributeError as error:
        raise AgentError(
            f"agent {name} is the class {path} of a notebook or script: define it there, and resume from there"
        ) from error
