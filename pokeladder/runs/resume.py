"""Begins a run with settings as users give them, or goes on with one that the store has."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, TypedDict

import duckdb

from pokeladder.agents.programs import Program
from pokeladder.agents.specs import Agent
from pokeladder.agents.versions import shown
from pokeladder.errors import UsageError
from pokeladder.query import views
from pokeladder.records import Run
from pokeladder.registry import Registry
from pokeladder.runs import tournament as tournaments
from pokeladder.runs.teams import DEFAULT_TEAM_SET
from pokeladder.runs.tournament import (
    History,
    Known,
    Notify,
    Progress,
    Resources,
    Tournament,
    Watch,
    drawn,
    tournament_of,
)
from pokeladder.store.files import Store


class PlaySettings(TypedDict, total=False):
    """How battles are played.

    Keys:
        battle_format: any singles format of Showdown; gen1ou if not given.
        team_set: a built-in set, one of metamon's, or a path; not used in formats with random teams.
        seed: decides teams and battle seeds; None for one that is drawn (``Progress.drawn_seed``), and with ``resume``
            for any.
        workers: processes that play them; on a server, that simulate them.
        simulators: simulator processes of each of these workers, all of whose battles a batch can come from.
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

    battle_format: str
    team_set: str
    seed: int | None
    workers: int | None
    simulators: int
    ray: str | None
    turn_timeout: float
    max_invalid: int
    max_timeouts: int
    trajectories: bool
    venue: Literal["embedded", "server"]
    server_url: str | None
    port: int | None
    server_dir: str | os.PathLike[str] | None
    battle_backend: str
    gpus: Sequence[str]
    resume: bool
    allow_changed: bool
    more: int | None
    watch: Watch
    notify: Notify


def play(
    store: Store,
    registry: Registry,
    connection: duckdb.DuckDBPyConnection,
    kind: Literal["tournament", "selfplay"],
    agents: Sequence[Agent | Program],
    battles: int,
    parallel: int | None,
    *,
    battle_format: str = "gen1ou",
    team_set: str = DEFAULT_TEAM_SET,
    seed: int | None = None,
    workers: int | None = None,
    simulators: int = 1,
    ray: str | None = None,
    turn_timeout: float = 60.0,
    max_invalid: int = 100,
    max_timeouts: int = 3,
    trajectories: bool = True,
    venue: Literal["embedded", "server"] = "embedded",
    server_url: str | None = None,
    port: int | None = None,
    server_dir: str | os.PathLike[str] | None = None,
    battle_backend: str = "poke-env",
    gpus: Sequence[str] = (),
    resume: bool = False,
    allow_changed: bool = False,
    more: int | None = None,
    watch: Watch = lambda _: None,
    notify: Notify = lambda _: None,
) -> Progress:
    """Plays a new run, or what is missing of one; for the settings see :class:`PlaySettings`.

    Args:
        connection: to the views of the store.
        kind: of the run; ``--resume`` looks among those.
        agents: none, to go on with the latest unfinished run.
        battles: of each two agents, or of self-play.
        parallel: battles at once; on a server, pairs of agents' processes.

    Raises:
        AgentError, FormatError, TeamError, SimulatorError, StoreError, UsageError: as the message says.
        InterruptedRunError: stopped by Ctrl-C; what had finished is stored.
    """
    past = _Past(connection, kind, resume=resume, named=bool(agents), notify=notify)
    if resume and not agents:
        unfinished = next((run for run, finished in past.runs() if not finished), None)
        if unfinished is None:
            raise UsageError(f"{store.folder} has no unfinished {kind}: name agents to play one")
        wanted = tournament_of(unfinished, registry)
        # What a store names is run: whoever resumes somebody's store should see it.
        for agent in wanted.agents:
            notify(f"Resuming run {unfinished.run_id} runs agent {shown(agent)}.")
    else:
        wanted = Tournament(
            agents=tuple(agents),
            battles_per_matchup=battles if more is None else more,
            battle_format=battle_format,
            team_set=team_set,
            seed=seed,
            turn_timeout=turn_timeout,
            max_invalid=max_invalid,
            max_timeouts=max_timeouts,
            venue="server" if server_url is not None else venue,
            battle_backend=battle_backend,
            kind=kind,
        )
    return tournaments.play(
        store,
        wanted,
        past,
        more=more is not None and bool(agents),
        allow_changed=allow_changed,
        resources=Resources(
            workers=workers,
            parallel=parallel,
            simulators=simulators,
            server_url=server_url,
            port=port,
            server_folder=Path(server_dir).absolute() if server_dir else None,
            gpus=tuple(gpus),
            ray=ray,
        ),
        trajectories=trajectories,
        watch=watch,
        notify=notify,
    )


class _Past:
    """Answers from the views; see :class:`pokeladder.runs.tournament.Past`.

    Args:
        kind: of the runs to look at.
        resume: go on with a run.
        named: with one of these agents, and not with the latest unfinished one whatever its settings.
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
        """Those of the kind, the latest first, and whether they are finished."""
        found = views.fetched(views.query(self._connection, "played_runs", {"kind": self._kind}))
        return [(Run(*columns), finished) for *columns, finished in found]

    def find_run(self, settings: Mapping[str, Any]) -> Run | None:
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
        self._notify("No run of these agents with these settings can be resumed: a new one begins.")
        return None

    def _refuse(self, run: Run, asked: Mapping[str, Any], wanted: Mapping[str, Any]) -> NoReturn:
        told = "; ".join(_told(key, asked.get(key), wanted.get(key)) for key in _differing(asked, wanted))
        remedy = f"finish it as it is with `pokeladder {self._kind} --resume`, or leave --resume out to begin a new run"
        if not self._named:
            remedy = "restore that, or name the agents, without --resume, to begin a new run"
        raise UsageError(f"the settings of the unfinished run {run.run_id} differ ({told}): {remedy}")

    def find_base(self, settings: Mapping[str, Any]) -> Run:
        alike = ("battles_per_matchup", "begin")
        found = [
            (run, finished)
            for run, finished in self.runs()
            if not set(_differing(json.loads(run.settings), settings)) - set(alike)
        ]
        if not found:
            raise UsageError(
                f"there is no {self._kind} of these agents with these settings to add to: play one without --more first"
            )
        # The latest decides on the seed; the draws of all runs of that seed went before.
        seed = found[0][0].seed
        series = [(run, finished) for run, finished in found if run.seed == seed]
        for run, finished in series:
            if not finished:
                raise UsageError(
                    f"run {run.run_id}, which --more would add to, is not finished: finish it first with "
                    f"`pokeladder {self._kind} --resume`"
                )
        return max((run for run, _ in series), key=drawn)

    def history(self, run: Run) -> History:
        found = views.fetched(views.query(self._connection, "games_so_far", {"run": run.run_id}))
        return History(
            played=frozenset(game for game, played, _ in found if played),
            voided={game: voided for game, _, voided in found},
        )

    def versions(self, run: Run) -> dict[str, Known]:
        return self._known("run_versions", {"run": run.run_id})

    def latest_versions(self, names: Sequence[str]) -> dict[str, Known]:
        return self._known("latest_versions", {"agents": list(names)})

    def _known(self, query: str, parameters: Mapping[str, object]) -> dict[str, Known]:
        found = views.fetched(views.query(self._connection, query, parameters))
        return {agent: Known(run_id, version, json.loads(parts)) for agent, run_id, version, parts in found}


def _differing(asked: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """The settings in which two runs differ; a seed of None is any."""
    return [
        key
        for key in dict.fromkeys([*asked, *wanted])
        if asked.get(key) != wanted.get(key) and not (key == "seed" and wanted["seed"] is None)
    ]


def _names(settings: Mapping[str, Any]) -> list[str]:
    return [agent["name"] for agent in settings["agents"]]


def _told(setting: str, asked: object, wanted: object) -> str:
    """How a setting differs, for people."""
    name = setting.replace("_", " ")
    if isinstance(asked, dict | list) or isinstance(wanted, dict | list):
        return f"other {name}"
    return f"{name} {asked}, not {wanted}"
