"""A round-robin from names to stored battles."""

from __future__ import annotations

import ast
import hashlib
import json
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from math import ceil
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, Protocol

from pokeladder.agents.programs import Program
from pokeladder.agents.specs import Agent, Directory
from pokeladder.agents.versions import Version, changes, version_of
from pokeladder.errors import AgentError, FormatError, InterruptedRunError, UsageError
from pokeladder.metamon.policy_servers import PolicyServers
from pokeladder.play.embedded.pool import WorkerPool
from pokeladder.play.embedded.ray_pool import RayPool
from pokeladder.play.messages import Attempt, Job, Rules
from pokeladder.play.server.arena import ServerArena, ServerSettings
from pokeladder.processes import default_workers
from pokeladder.records import AgentVersion, Notice, Result, Run
from pokeladder.runs.monitor import Gauge, Use
from pokeladder.runs.schedule import draws, round_robin, selfplay
from pokeladder.runs.teams import Team, load_teams, team_files, with_distinct_names
from pokeladder.simulator.process import Inquiry
from pokeladder.simulator.setup import Simulator, ensure_simulator
from pokeladder.store.files import Store, new_run_id
from pokeladder.store.recorder import Recorder
from pokeladder.store.tidying import BackgroundCompactor

SLOTS_A_WORKER = 8
# A policy answers many positions for hardly more than one.
SLOTS_WITH_POLICIES = 128
# Seeds that are drawn are below this: few enough digits to type, and enough never to meet twice.
SEEDS = 10**9


@dataclass(frozen=True)
class Tournament:
    """What is to be played; see :meth:`pokeladder.Ladder.tournament` for each. Self-play is one of one matchup.

    Attributes:
        seed: None for one that is drawn, or is that of the run to go on with.
        begin: draws of each matchup's teams and seeds that went before, in the runs that this one adds to.
    """

    agents: tuple[Agent | Program, ...]
    battles_per_matchup: int
    battle_format: str
    team_set: str
    seed: int | None
    turn_timeout: float
    max_invalid: int
    max_timeouts: int
    venue: Literal["embedded", "server"] = "embedded"
    battle_backend: str = "poke-env"
    kind: Literal["tournament", "selfplay"] = "tournament"
    begin: int = 0

    def __post_init__(self) -> None:
        if self.kind == "tournament" and len(self.agents) < 2:
            raise UsageError("a tournament needs at least two agents: see `pokeladder agents`")
        if self.battles_per_matchup < 1:
            raise UsageError("the number of battles must be at least 1")
        if not self.turn_timeout > 0 or self.max_invalid < 1 or self.max_timeouts < 1:
            raise UsageError("the turn timeout and the numbers of invalid choices and time-outs must be above 0")
        if self.venue == "embedded":
            for agent in self.agents:
                if isinstance(agent, Program) and agent.policy is None:
                    raise UsageError(
                        f"agent {agent.name} is a program of its own, which plays on a server: add --venue server"
                    )
            if self.battle_backend != "poke-env":
                raise UsageError(f"the battle backend {self.battle_backend} needs a server: add --venue server")

    def settings(self, teams: Sequence[Team]) -> str:
        """All of it as JSON, with digests of the teams: equal settings make equal schedules."""
        digests = {team.name: hashlib.sha256(team.packed.encode()).hexdigest()[:16] for team in teams}
        # What is not there has its default value: older runs know nothing of it.
        further: dict[str, Any] = {} if self.kind == "tournament" else {"kind": self.kind}
        if self.venue != "embedded":
            further |= {"venue": self.venue, "battle_backend": self.battle_backend}
        if self.begin:
            further |= {"begin": self.begin}
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
                **further,
            }
        )


@dataclass(frozen=True)
class Resources:
    """What a run is played with, which makes no difference to it.

    Attributes:
        workers: worker processes, and on a server those that simulate battles; None for one a core, of the cluster too.
        parallel: battles at once, over all workers; None for eight a worker, and on a server for one a core.
        simulators: simulator processes of each worker, on the embedded venue.
        server_url: a server that is running already; None to start one.
        port: for the one that is started; None for a free one, or the one that an agent insists on.
        server_folder: keeps its files, a log of every battle among them; None if they are not wanted.
        gpus: to spread the processes of agents that use one over.
        ray: address of a Ray cluster that plays; None for this machine.
    """

    workers: int | None = None
    parallel: int | None = None
    simulators: int = 1
    server_url: str | None = None
    port: int | None = None
    server_folder: Path | None = None
    gpus: tuple[str, ...] = ()
    ray: str | None = None


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        scheduled: battles that the run is to have.
        stored: those on disk, from earlier sessions too.
        played: those stored in this session.
        void: void battles of this session.
        unrecorded: trajectories of this session's battles that were wanted and could not be made.
        seconds: since this session's first battle was started.
        use: what the run takes of the disk and of the memory.
        drawn_seed: the seed, if it was drawn and not asked for.
    """

    run_id: str
    scheduled: int
    stored: int
    played: int
    void: int
    unrecorded: int
    seconds: float
    use: Use
    drawn_seed: int | None = None

    @property
    def disk_expected(self) -> int | None:
        """Bytes that the run's files will have at its end; None until there is something to go by."""
        return self.use.disk * self.scheduled // self.stored if self.stored else None


Watch = Callable[[Progress], None]
Notify = Callable[[str], None]


@dataclass(frozen=True)
class History:
    """What a run has in the store: the games that were played, and how many void attempts there were at each."""

    played: frozenset[int]
    voided: dict[int, int]


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


class Past(Protocol):
    """What the store knows of earlier runs."""

    def find_run(self, settings: Mapping[str, Any]) -> Run | None:
        """The run to go on with; None for a new one.

        Args:
            settings: of the tournament to play; a seed of None stands for any.

        Raises:
            UsageError: no run is as it was asked for.
        """

    def find_base(self, settings: Mapping[str, Any]) -> Run:
        """Of the runs that are like this tournament but for the number of battles, that with the last draws, to add to.

        Raises:
            UsageError: there is none, or one is not finished.
        """

    def history(self, run: Run) -> History:
        """What the store has of a run."""

    def versions(self, run: Run) -> Mapping[str, Known]:
        """The versions of a run's agents, by name; none for runs of pokeladder 0.1.0."""

    def latest_versions(self, names: Sequence[str]) -> Mapping[str, Known]:
        """The version of each agent in the latest run that it has one in."""


def tournament_of(run: Run, directory: Directory) -> Tournament:
    """The tournament that a stored run was.

    Raises:
        AgentError: an agent's parameters cannot be read back, or it is not what it was.
    """
    settings = json.loads(run.settings)
    return Tournament(
        agents=tuple(_agent(identity, directory) for identity in settings["agents"]),
        **{key: value for key, value in settings.items() if key not in ("agents", "teams")},
    )


def play(
    store: Store,
    tournament: Tournament,
    past: Past,
    *,
    more: bool,
    allow_changed: bool,
    resources: Resources,
    trajectories: bool,
    watch: Watch,
    notify: Notify,
) -> Progress:
    """Plays a tournament, or what is missing of one.

    Args:
        more: add to the battles of the latest run that is like this one.
        allow_changed: go on with a run though the version of an agent is not the one that it began with.
        trajectories: record what each side knew and did.
        watch: told the progress after each write, and about four times a second.
        notify: told in a line what the user should know on the way.

    Returns:
        The final progress; ``stored`` is less than ``scheduled`` if battles stayed void after all attempts.

    Raises:
        AgentError, FormatError, TeamError, SimulatorError, StoreError, UsageError: as the message says.
        InterruptedRunError: the user stopped it; what had finished is stored.
    """
    if resources.ray is not None and tournament.venue != "embedded":
        raise UsageError("a server's battles are not played on a Ray cluster: leave out --ray, or --venue server")
    simulator = ensure_simulator(notify)
    with Inquiry(simulator) as inquiry:
        # The other answers may be known; a Node that does not work shall be told of before it plays.
        inquiry.version()
        battle_format = singles_format(inquiry, tournament.battle_format)
        additions = inquiry.additions(battle_format["id"])
        teams = [] if battle_format["random_teams"] else load_teams(tournament.team_set, battle_format["id"], inquiry)
    if more:
        tournament = _added_to(past.find_base(_settings(tournament, teams)), tournament)
    earlier = past.find_run(_settings(tournament, teams))
    seed_drawn = tournament.seed is None and earlier is None
    if tournament.seed is None:
        tournament = replace(tournament, seed=_seed_of(earlier) if earlier else secrets.randbelow(SEEDS))
    settings = tournament.settings(teams)
    schedule = round_robin if tournament.kind == "tournament" else selfplay
    games = schedule(
        [agent.name for agent in tournament.agents],
        tournament.battles_per_matchup,
        [team.name for team in teams],
        tournament.seed or 0,
        tournament.begin,
    )
    run = earlier or _new_run(battle_format["id"], tournament, settings, len(games), simulator)
    now = {agent.name: version_of(agent) for agent in tournament.agents}
    known = past.versions(run) if earlier else past.latest_versions(list(now))
    _compare(known, now, resumed=earlier is not None, allow_changed=allow_changed, notify=notify)
    rules = Rules(
        format_id=battle_format["id"],
        gen=battle_format["gen"],
        teams={team.name: with_distinct_names(team.packed) for team in teams},
        turn_timeout=tournament.turn_timeout,
        max_invalid=tournament.max_invalid,
        max_timeouts=tournament.max_timeouts,
        record_trajectories=trajectories,
        additions=additions,
    )
    with store.lock_run(run.run_id):
        # Only now: until here another process may have been playing this run.
        store.clear_unfinished(run.run_id)
        history = past.history(run)
        played = history.played
        if earlier is not None:
            notify(f"Run {run.run_id} has {len(played)} of {len(games)} battles.")
            if run.showdown_version != simulator.version:
                notify(f"warning: it began on Showdown {run.showdown_version} and goes on on {simulator.version}")
        missing = [Attempt(game, history.voided.get(game.index, 0)) for game in games if game.index not in played]
        recorder = Recorder(store, run, games, {name: version.digest for name, version in now.items()})
        gauge = Gauge(store, run.run_id)
        compactor = BackgroundCompactor(store, run.run_id, notify)
        started = time.monotonic()
        begun = earlier is not None
        new_versions = _rows(run, now, known if begun else {})

        def progress() -> Progress:
            return Progress(
                run_id=run.run_id,
                scheduled=len(games),
                stored=len(played) + recorder.stored,
                played=recorder.stored,
                void=recorder.void,
                unrecorded=recorder.unrecorded,
                seconds=time.monotonic() - started,
                use=gauge.use,
                drawn_seed=tournament.seed if seed_drawn else None,
            )

        def begin() -> None:
            nonlocal begun, new_versions
            if new_versions:
                store.add_versions(new_versions)
                new_versions = []
            if not begun:
                store.add_run(run)
                begun = True

        def look() -> None:
            if gauge.look_if_due():
                gauge.require_room(progress().disk_expected, notify)
            compactor.compact_if_due()
            watch(progress())

        try:
            try:
                if missing:
                    log_folder = store.log_folder(run.run_id)
                    if tournament.venue == "server":
                        store.clear_work()
                    with _arena(simulator, tournament, rules, resources, log_folder, len(missing)) as arena:
                        compactor.begin()
                        _record(arena, missing, recorder, begin, look, notify)
                compactor.finish()
            except BaseException:
                compactor.stop()
                raise
            finally:
                compactor.close()
        except KeyboardInterrupt:
            if not begun:
                raise InterruptedRunError("stopped before the first battle: there is nothing to resume") from None
            reached = progress()
            if reached.stored == reached.scheduled:
                raise InterruptedRunError(f"all battles of run {run.run_id} are stored") from None
            raise InterruptedRunError(
                f"{reached.stored} of {reached.scheduled} battles are stored in run {run.run_id}: "
                f"play the rest with `pokeladder {tournament.kind} --resume`"
            ) from None
    watch(progress())
    return progress()


def _settings(tournament: Tournament, teams: Sequence[Team]) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(tournament.settings(teams))
    return settings


def _seed_of(run: Run) -> int:
    return int(json.loads(run.settings)["seed"])


def drawn(run: Run) -> int:
    """How many draws of each matchup's teams and seeds a run and those that it adds to have made."""
    settings = json.loads(run.settings)
    names = [agent["name"] for agent in settings["agents"]]
    return int(settings.get("begin", 0)) + draws(names, settings["battles_per_matchup"])


def _added_to(base: Run, tournament: Tournament) -> Tournament:
    """The tournament with the seed of a run, and draws that go on where that run's ended."""
    return replace(tournament, seed=_seed_of(base), begin=drawn(base))


def _compare(
    known: Mapping[str, Known], now: Mapping[str, Version], *, resumed: bool, allow_changed: bool, notify: Notify
) -> None:
    """Looks at whether agents are the versions that earlier battles were played with.

    Raises:
        AgentError: a run is to be resumed with another version.
    """
    for name, version_ in now.items():
        there = known.get(name)
        if there is None or there.version == version_.digest:
            continue
        changed = "; ".join(changes(there.parts, version_.parts))
        if resumed and not allow_changed:
            raise AgentError(
                f"agent {name} is not the version that run {there.run_id} was played with ({changed}): restore it, "
                "go on with --allow-changed, or begin a new run under another name"
            )
        told = "from here on" if resumed else "now"
        notify(
            f"warning: agent {name} is version {version_.digest} {told}, and was {there.version} in run {there.run_id} "
            f"({changed}): battles of both count as its own; --by-version of ratings, elo, matchups and stats tells "
            "them apart"
        )


def _rows(run: Run, now: Mapping[str, Version], known: Mapping[str, Known]) -> list[AgentVersion]:
    """The versions of a run's agents that the store does not have."""
    recorded_at = datetime.now(UTC)
    return [
        AgentVersion(run.run_id, name, version_.digest, version_.as_json(), recorded_at)
        for name, version_ in now.items()
        if name not in known or known[name].version != version_.digest
    ]


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


def _arena(
    simulator: Simulator, tournament: Tournament, rules: Rules, resources: Resources, log_folder: Path, games: int
) -> WorkerPool | RayPool | ServerArena:
    workers, parallel = resources.workers or default_workers(), resources.parallel
    if tournament.venue == "embedded":
        programs = [agent for agent in tournament.agents if isinstance(agent, Program)]
        agents = tuple(agent for agent in tournament.agents if isinstance(agent, Agent))
        job = Job(simulator, agents, rules, resources.simulators)
        if resources.ray is not None:
            if programs:
                raise UsageError(
                    f"agent {programs[0].name} has a policy process, which no other machine can reach: leave --ray out"
                )
            return RayPool(job, resources.ray, resources.workers, parallel, SLOTS_A_WORKER, log_folder)
        count = min(workers, parallel or games, games)
        usual = SLOTS_WITH_POLICIES if programs else SLOTS_A_WORKER
        servers = PolicyServers(programs, rules.format_id, log_folder, resources.gpus, count)
        return WorkerPool(job, count, ceil((parallel or usual * count) / count), log_folder, servers)
    venue = ServerSettings(
        url=resources.server_url,
        port=_port(tournament, resources.port),
        processes=workers,
        folder=resources.server_folder,
        parallel=parallel or default_workers(),
        gpus=resources.gpus,
        backend=tournament.battle_backend,
        team_files=tuple(team_files(tournament.team_set, rules.format_id)) if rules.teams else (),
    )
    return ServerArena(simulator, tournament.agents, rules, venue, log_folder)


def _port(tournament: Tournament, port: int | None) -> int:
    """That of the server to start; 0 for a free one.

    Raises:
        UsageError: an agent cannot reach it.
    """
    insisting = {agent.name: agent.port for agent in tournament.agents if isinstance(agent, Program) and agent.port}
    wanted = {**insisting, "--port": port} if port else insisting
    if len(set(wanted.values())) > 1:
        told = ", ".join(f"{who} {number}" for who, number in wanted.items())
        raise UsageError(
            f"there is one server, and its port cannot be all that are asked for ({told}): leave --port out"
        )
    return next(iter(wanted.values()), 0) or 0


def _record(
    arena: WorkerPool | RayPool | ServerArena,
    games: Sequence[Attempt],
    recorder: Recorder,
    begin: Callable[[], None],
    watch: Callable[[], None],
    notify: Notify,
) -> None:
    """Records what an arena plays.

    Args:
        begin: called before a result is recorded: what never comes to a result is no run.
    """
    told: set[str] = set()
    try:
        for event in arena.play(games):
            if isinstance(event, Result):
                begin()
                recorder.add(event)
            elif isinstance(event, Notice):
                if event.topic not in told:
                    notify(f"warning: {event.text}")
                if event.topic is not None:
                    told.add(event.topic)
            else:
                recorder.flush_if_due()
                watch()
    finally:
        # Before the arena is closed, which may take longer than a process that is stopped has.
        recorder.flush()


def _new_run(format_id: str, tournament: Tournament, settings: str, scheduled: int, simulator: Simulator) -> Run:
    started_at = datetime.now(UTC)
    return Run(
        run_id=new_run_id(started_at),
        kind=tournament.kind,
        format=format_id,
        venue=tournament.venue,
        settings=settings,
        scheduled=scheduled,
        started_at=started_at,
        pokeladder_version=version("pokeladder"),
        showdown_version=simulator.version,
    )


def _agent(identity: dict[str, Any], directory: Directory) -> Agent | Program:
    if "kind" in identity:
        program = directory.find(identity["base"], identity["name"], identity["parameters"])
        if program is None or program.identity() != identity:
            what = "is not registered any more" if program is None else "is registered as something else now"
            raise AgentError(
                f"agent {identity['name']} {what}: register it as it was, or name the agents to begin anew"
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
            f"the parameters of agent {identity['name']} cannot be read back from the store: name the agents again"
        ) from error


def _of_main(name: str, path: str) -> Any:
    """A class of a notebook or script, which only the process that it runs in has.

    Raises:
        AgentError: it is not there.
    """
    try:
        return attrgetter(path)(sys.modules["__main__"])
    except AttributeError as error:
        raise AgentError(
            f"agent {name} is the class {path} of a notebook or script: define it there again, and resume from there"
        ) from error
