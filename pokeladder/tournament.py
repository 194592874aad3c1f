"""A round-robin from names to stored battles."""

from __future__ import annotations

import ast
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from math import ceil
from typing import Any

from pokeladder.agents import Agent
from pokeladder.arena.messages import Job, Notice, Play, Rules
from pokeladder.arena.pool import Pool, default_workers
from pokeladder.errors import AgentError, FormatError, InterruptedRunError, UsageError
from pokeladder.recorder import Recorder
from pokeladder.records import Result, Run
from pokeladder.schedule import round_robin
from pokeladder.simulator.process import Inquiry
from pokeladder.simulator.setup import Simulator, ensure_simulator
from pokeladder.store import Store, new_run_id
from pokeladder.teams import Team, load_teams

SLOTS_A_WORKER = 8


@dataclass(frozen=True)
class Tournament:
    """What is to be played; see :meth:`pokeladder.Ladder.tournament` for each."""

    agents: tuple[Agent, ...]
    battles_per_matchup: int
    battle_format: str
    team_set: str
    seed: int
    turn_timeout: float
    max_invalid: int
    max_timeouts: int

    def __post_init__(self) -> None:
        if len(self.agents) < 2:
            raise UsageError("a tournament needs at least two agents: see `pokeladder agents`")
        if self.battles_per_matchup < 1:
            raise UsageError("battles per matchup must be at least 1")
        if self.turn_timeout <= 0 or self.max_invalid < 1 or self.max_timeouts < 1:
            raise UsageError("the turn timeout and the numbers of invalid choices and time-outs must be above 0")

    def settings(self, teams: Sequence[Team]) -> str:
        """All of it as JSON, with digests of the teams: equal settings make equal schedules."""
        digests = {team.name: hashlib.sha256(team.packed.encode()).hexdigest()[:16] for team in teams}
        return json.dumps(
            {
                "agents": sorted((agent.identity() for agent in self.agents), key=lambda agent: agent["name"]),
                "battles_per_matchup": self.battles_per_matchup,
                "battle_format": self.battle_format,
                "team_set": self.team_set,
                "seed": self.seed,
                "turn_timeout": self.turn_timeout,
                "max_invalid": self.max_invalid,
                "max_timeouts": self.max_timeouts,
                "teams": digests,
            }
        )


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        scheduled: battles that the run is to have.
        stored: those on disk, from earlier sessions too.
        played: those stored in this session.
        void: void battles of this session.
        seconds: since this session's first battle was started.
    """

    run_id: str
    scheduled: int
    stored: int
    played: int
    void: int
    seconds: float


Watch = Callable[[Progress], None]
Notify = Callable[[str], None]


@dataclass(frozen=True)
class History:
    """What a run has in the store: the games that were played, and how many void attempts there were at each."""

    played: frozenset[int]
    voided: dict[int, int]


def tournament_of(run: Run) -> Tournament:
    """The tournament that a stored run was.

    Raises:
        AgentError: an agent's parameters cannot be read back.
    """
    settings = json.loads(run.settings)
    return Tournament(
        agents=tuple(_agent(identity) for identity in settings["agents"]),
        **{key: value for key, value in settings.items() if key not in ("agents", "teams")},
    )


def play(
    store: Store,
    tournament: Tournament,
    find_run: Callable[[str], Run | None],
    find_history: Callable[[Run], History],
    *,
    workers: int | None,
    parallel: int | None,
    trajectories: bool,
    watch: Watch,
    notify: Notify,
) -> Progress:
    """Plays a tournament, or what is missing of one.

    Args:
        find_run: given the settings, the run to go on with; None for a new one.
        find_history: what the store has of a run.
        workers: worker processes; None for one a core.
        parallel: battles at once, over all workers; None for eight a worker.
        trajectories: record what each side knew and did.
        watch: told the progress after each write, and about four times a second.
        notify: told in a line what the user should know on the way.

    Returns:
        The final progress; ``stored`` is less than ``scheduled`` if battles stayed void after all attempts.

    Raises:
        AgentError, FormatError, TeamError, SimulatorError, StoreError: as the message says.
        InterruptedRunError: the user stopped it; what had finished is stored.
    """
    simulator = ensure_simulator(notify)
    with Inquiry(simulator) as inquiry:
        battle_format = singles_format(inquiry, tournament.battle_format)
        teams = [] if battle_format["random_teams"] else load_teams(tournament.team_set, battle_format["id"], inquiry)
    settings = tournament.settings(teams)
    games = round_robin(
        [agent.name for agent in tournament.agents],
        tournament.battles_per_matchup,
        [team.name for team in teams],
        tournament.seed,
    )
    earlier = find_run(settings)
    run = earlier or _new_run(battle_format["id"], settings, len(games), simulator)
    rules = Rules(
        format_id=battle_format["id"],
        gen=battle_format["gen"],
        teams={team.name: team.packed for team in teams},
        turn_timeout=tournament.turn_timeout,
        max_invalid=tournament.max_invalid,
        max_timeouts=tournament.max_timeouts,
        record_trajectories=trajectories,
    )
    with store.lock_run(run.run_id):
        # Only now: until here another process may have been playing this run.
        store.clear_unfinished(run.run_id)
        history = find_history(run)
        played = history.played
        if earlier is None:
            store.add_run(run)
        else:
            notify(f"Run {run.run_id} has {len(played)} of {len(games)} battles.")
            if run.showdown_version != simulator.version:
                notify(f"warning: it began on Showdown {run.showdown_version} and goes on on {simulator.version}")
        missing = [Play(game, history.voided.get(game.index, 0)) for game in games if game.index not in played]
        recorder = Recorder(store, run, games)
        count = min(workers or default_workers(), parallel or len(games), max(1, len(missing)))
        slots = ceil((parallel or SLOTS_A_WORKER * count) / count)
        started = time.monotonic()

        def progress() -> Progress:
            return Progress(
                run_id=run.run_id,
                scheduled=len(games),
                stored=len(played) + recorder.stored,
                played=recorder.stored,
                void=recorder.void,
                seconds=time.monotonic() - started,
            )

        try:
            if missing:
                job = Job(simulator, tournament.agents, rules)
                with Pool(job, count, slots, store.log_folder(run.run_id)) as pool:
                    _record(pool, missing, recorder, lambda: watch(progress()), notify)
        except KeyboardInterrupt:
            recorder.flush()
            reached = progress()
            raise InterruptedRunError(
                f"{reached.stored} of {reached.scheduled} battles are stored in run {run.run_id}: "
                "play the rest with `pokeladder tournament --resume`"
            ) from None
        finally:
            recorder.flush()
    watch(progress())
    return progress()


def singles_format(inquiry: Inquiry, name: str) -> dict[str, Any]:
    """A format that can be played here (see ``Inquiry.format``).

    Raises:
        FormatError: Showdown does not know it, or it is not for one Pokémon a side.
    """
    battle_format = inquiry.format(name)
    if battle_format is None:
        raise FormatError(f"Showdown has no format {name}: write its id, such as gen1ou or gen9randombattle")
    if battle_format["game_type"] != "singles":
        raise FormatError(f"{battle_format['id']} is a {battle_format['game_type']} format: only singles are played")
    return battle_format


def _record(pool: Pool, games: Sequence[Play], recorder: Recorder, watch: Callable[[], None], notify: Notify) -> None:
    told: set[str] = set()
    for event in pool.play(games):
        if isinstance(event, Result):
            recorder.add(event)
        elif isinstance(event, Notice):
            if event.topic not in told:
                notify(f"warning: {event.text}")
            if event.topic is not None:
                told.add(event.topic)
        else:
            recorder.flush_if_due()
            watch()


def _new_run(format_id: str, settings: str, scheduled: int, simulator: Simulator) -> Run:
    started_at = datetime.now(UTC)
    return Run(
        run_id=new_run_id(started_at),
        kind="tournament",
        format=format_id,
        venue="embedded",
        settings=settings,
        scheduled=scheduled,
        started_at=started_at,
        pokeladder_version=version("pokeladder"),
        showdown_version=simulator.version,
    )


def _agent(identity: dict[str, Any]) -> Agent:
    try:
        return Agent(
            identity["name"],
            identity["target"],
            {key: ast.literal_eval(value) for key, value in identity["parameters"].items()},
        )
    except (ValueError, SyntaxError) as error:
        raise AgentError(
            f"the parameters of agent {identity['name']} cannot be read back from the store: name the agents again"
        ) from error
