"""Begins a run with settings as users give them, or goes on with one that the store has."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, TypedDict

import duckdb

from pokeladder import tournament as tournaments
from pokeladder import views
from pokeladder.agents import Agent
from pokeladder.errors import UsageError
from pokeladder.programs import Program
from pokeladder.records import Run
from pokeladder.registry import Registry
from pokeladder.store import Store
from pokeladder.teams import DEFAULT_TEAM_SET
from pokeladder.tournament import History, Notify, Progress, Resources, Tournament, Watch, tournament_of

Runs = Callable[[], Sequence[tuple[Run, bool]]]


class PlaySettings(TypedDict, total=False):
    """How battles are played.

    Keys:
        battle_format: any singles format of Showdown; gen1ou if not given.
        team_set: a built-in set, one of metamon's, or a path; not used in formats with random teams.
        seed: decides teams and battle seeds.
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
        watch: told the :class:`~pokeladder.Progress` while battles are played.
        notify: told what the user should know on the way, a line each.
    """

    battle_format: str
    team_set: str
    seed: int
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
    seed: int = 0,
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
    runs = partial(_runs, connection, kind)
    find_run: Callable[[str], Run | None] = partial(_latest_like, runs) if resume else lambda _: None
    if resume and not agents:
        unfinished = next((run for run, finished in runs() if not finished), None)
        if unfinished is None:
            raise UsageError(f"{store.folder} has no unfinished {kind}: name agents to play one")
        wanted = tournament_of(unfinished, registry)
        find_run = partial(_unchanged, runs)
    else:
        wanted = Tournament(
            agents=tuple(agents),
            battles_per_matchup=battles,
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
        find_run,
        partial(_history, connection),
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


def _runs(connection: duckdb.DuckDBPyConnection, kind: str) -> list[tuple[Run, bool]]:
    """Those of a kind, the latest first, and whether they are finished."""
    found = views.fetched(views.query(connection, "played_runs", {"kind": kind}))
    return [(Run(*columns), finished) for *columns, finished in found]


def _history(connection: duckdb.DuckDBPyConnection, run: Run) -> History:
    found = views.fetched(views.query(connection, "games_so_far", {"run": run.run_id}))
    return History(
        played=frozenset(game for game, played, _ in found if played),
        voided={game: voided for game, _, voided in found},
    )


def _latest_like(runs: Runs, settings: str) -> Run | None:
    return next((run for run, _ in runs() if run.settings == settings), None)


def _unchanged(runs: Runs, settings: str) -> Run:
    run = _latest_like(runs, settings)
    if run is None:
        raise UsageError(
            "the team set of the latest unfinished run is not what it was when that began: "
            "restore its teams, or name the agents to begin anew"
        )
    return run
