"""The arena on a websocket server: pairs the processes of agents, watches them, and replaces failed ones.

Facts about battles come from the server only, never from an agent.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from pokeladder import retries
from pokeladder.agents.programs import Program, Role, meet
from pokeladder.agents.specs import Agent
from pokeladder.errors import AgentError, SimulatorError
from pokeladder.metamon.output import MetamonOutput
from pokeladder.play.messages import AgentTask, Attempt, Rules
from pokeladder.play.results import aborted
from pokeladder.play.server.agent_process import AgentProcess
from pokeladder.play.server.sessions import Begun, Session, chunks
from pokeladder.play.server.spectator import Spectator
from pokeladder.play.server.trajectory_collector import TrajectoryCollector
from pokeladder.records import SIDES, Notice, Result, other
from pokeladder.retries import FailuresInARow
from pokeladder.seeds import team_seed
from pokeladder.simulator.server import ServerProcess
from pokeladder.simulator.setup import Simulator

TICK_SECONDS = 0.25


@dataclass(frozen=True)
class ServerSettings:
    """Settings of the server and of the agents' processes.

    Attributes:
        url: URL of a running server; None to start one.
        port: port of the started server; 0 for a free one.
        processes: number of its processes that simulate battles.
        folder: folder for the files of the started server; None for a temporary one.
        parallel: number of sessions at once.
        gpus: CUDA's names of the GPUs over which agents' processes are distributed.
        backend: battle backend, for metamon.
        team_files: files of the team set.
    """

    url: str | None
    port: int
    processes: int
    folder: Path | None
    parallel: int
    gpus: tuple[str, ...]
    backend: str
    team_files: tuple[Path, ...]


class ServerArena:
    """Plays games on a server; an :class:`~pokeladder.play.arena.Arena`.

    Args:
        agents: the agents of all games.
        log_folder: folder for the logs of the server and of the agents' processes.

    Raises:
        AgentError: two agents cannot meet.
        SimulatorError: the server cannot be started or reached.
    """

    def __init__(
        self,
        simulator: Simulator,
        agents: Iterable[Agent | Program],
        rules: Rules,
        settings: ServerSettings,
        log_folder: Path,
    ) -> None:
        self._simulator = simulator
        self._agents = {agent.name: agent for agent in agents}
        names = sorted(self._agents)
        for first, second in combinations(names, 2) if len(names) > 1 else [(names[0], names[0])]:
            self._roles(first, second)
        self._rules = rules
        self._settings = settings
        self._log_folder = log_folder
        # Unique, since a running server may still have users of an earlier call.
        self._token = secrets.token_hex(3)
        self._named = 0
        self._chunks: deque[deque[Attempt]] = deque()
        self._sessions: list[Session] = []
        self._out: deque[Result | Notice] = deque()
        self._failures = FailuresInARow(retries.AGENT_FAILURES)
        self._deaths = FailuresInARow(retries.DEATHS)
        self._team_folder = log_folder / "teams"
        shutil.rmtree(self._team_folder, ignore_errors=True)
        self._all_teams = self._lay_out_teams(Path("all"), settings.team_files)
        self._server = self._start_server()
        reconstructors = max(1, settings.processes // 2) if rules.record_trajectories and settings.url is None else 0
        try:
            self._collector = TrajectoryCollector(simulator, rules, reconstructors, log_folder)
        except BaseException:
            self._server.stop()
            raise

    def __enter__(self) -> ServerArena:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        _end([process for session in self._sessions for process in session.processes])
        self._sessions = []
        self._collector.close()
        self._server.stop()
        shutil.rmtree(self._team_folder, ignore_errors=True)

    def play(self, games: Iterable[Attempt]) -> Iterator[Result | Notice | None]:
        """Yields each result when it is there, notices, and None every quarter of a second.

        A void result is followed by another attempt at the same game, up to
        :data:`~pokeladder.retries.ATTEMPTS`, unless one of its agents has failed too often.

        Raises:
            SimulatorError: the server died too often.
        """
        fixed = {name for name, agent in self._agents.items() if agent.fixed_team}
        self._chunks.extend(chunks(games, self._settings.parallel, fixed))
        next_tick = time.monotonic()
        while self._chunks or self._sessions or self._collector.busy():
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + TICK_SECONDS
                self._open_sessions()
                self._look_after_sessions()
                if self._server.silent():
                    self._server.kill()
                    self._server.stop()
                    self._replace_server("the server stopped answering")
                yield None
            sources: list[Any] = [self._server, *self._collector.connections]
            ready = wait(sources, timeout=max(0.0, next_tick - time.monotonic()))
            for source in [one for one in sources if one in ready]:
                if source is sources[0]:
                    self._hear_server()
                else:
                    self._out.extend(self._collector.hear(source))
            self._out.extend(self._collector.finished())
            while self._out:
                yield self._out.popleft()

    def _open_sessions(self) -> None:
        for _ in range(len(self._chunks)):
            if len(self._sessions) >= self._settings.parallel:
                return
            chunk = self._chunks.popleft()
            roles = self._roles(*sorted((chunk[0].game.p1, chunk[0].game.p2)))
            # Another server pairs any users that wait on its ladder.
            if self._settings.url is not None and any(
                "ladder" in roles and "ladder" in one.roles for one in self._sessions
            ):
                self._chunks.append(chunk)
            else:
                self._open(chunk, roles)

    def _roles(self, *names: str) -> tuple[Role, Role]:
        first, second = (self._agents[name] for name in names)
        roles = meet(first.roles, second.roles)
        if roles is None:
            told = " and ".join(f"{agent.name} can be {' or '.join(agent.roles)}" for agent in (first, second))
            raise AgentError(f"{told}, so they cannot meet: register one of them with another role")
        return roles

    def _open(self, chunk: deque[Attempt], roles: tuple[Role, Role]) -> None:
        first, second = (self._agents[name] for name in sorted((chunk[0].game.p1, chunk[0].game.p2)))
        self._named += 2
        users = (f"pl{self._token}n{self._named - 1}", f"pl{self._token}n{self._named}")
        session = Session((first, second), users, roles, deque(chunk), directed=self._settings.url is None)
        self._sessions.append(session)
        self._server.send("arrange", *users, *(self._order(session, attempt) for attempt in chunk))
        for user, role in zip(users, roles, strict=True):
            # The challenged agent must log in first.
            if role != "challenger" and session in self._sessions:
                self._start_agent(session, user)

    def _order(self, session: Session, attempt: Attempt) -> dict[str, Any]:
        """A game in the form that the server takes (see ``server.js``)."""
        game = attempt.game
        p1, p2 = session.users_of(game)
        teams = self._rules.packed_teams(game)
        given = {"teams": teams} if teams else {"team_seeds": [team_seed(game, side) for side in SIDES]}
        return {"number": game.index, "seed": game.seed, "p1": p1, "p2": p2, **given}

    def _start_agent(self, session: Session, user: str) -> None:
        """Starts the process of one of a session's agents."""
        which = session.users.index(user)
        agent, game = session.agents[which], session.left[0].game
        team = (game.p1_team, game.p2_team)[session.users_of(game).index(user)]
        task = AgentTask(
            agent=agent,
            user=user,
            opponent=session.users[1 - which],
            url=self._server.url,
            format_id=self._rules.format_id,
            role=session.roles[which],
            battles=len(session.left),
            team=None if team is None else self._rules.teams[team],
            team_folder=self._teams_of(agent, team),
            backend=self._settings.backend,
            gen=self._rules.gen,
            additions=self._rules.additions,
        )
        try:
            process = AgentProcess(task, self._log_folder, self._gpu() if agent.gpu else None)
        except OSError as error:
            self._give_up(session, {agent.name: f"cannot be started: {error}"})
            return
        session.processes.append(process)
        session.quiet_since = time.monotonic()
        if agent.writes:
            session.outputs[user] = MetamonOutput(process.work, user)

    def _teams_of(self, agent: Agent | Program, team: str | None) -> Path:
        """The folder of teams for an agent's process."""
        if team is None or not agent.fixed_team:
            return self._all_teams
        name = Path(team).name
        return self._lay_out_teams(
            Path("each", name), [file for file in self._settings.team_files if file.stem == name]
        )

    def _lay_out_teams(self, place: Path, files: Iterable[Path]) -> Path:
        """Makes a folder of teams in the layout ``<format>/<name>.<format>_team``."""
        folder = self._team_folder / place
        (folder / self._rules.format_id).mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copyfile(file, folder / self._rules.format_id / file.name)
        return folder

    def _gpu(self) -> str | None:
        used = [process.gpu for session in self._sessions for process in session.processes]
        return min(self._settings.gpus, key=used.count, default=None)

    def _look_after_sessions(self) -> None:
        for session in list(self._sessions):
            if session not in self._sessions:
                continue  # removed with an agent of another session
            if session.left or session.begun:
                failed = session.failures()
                if failed:
                    self._give_up(session, failed)
            elif not self._collector.busy(session) and session.over():
                self._close(session)

    def _give_up(self, session: Session, failed: Mapping[str, str]) -> None:
        """Ends a session after failures of its agents; its games go to another session."""
        dead = []
        for name, reason in failed.items():
            process = session.process_of(name)
            tail, log = (process.tail(), f" (its log is {process.log})") if process else ("", "")
            then = "another process takes its place"
            if self._failures.add(name):
                dead.append(name)
                then = f"it has failed {retries.AGENT_FAILURES} times in a row, so its other battles stay void"
            self._out.append(Notice(f"agent {name} {reason}{tail}; {then}{log}"))
        self._abandon(session)
        for name in dead:
            self._bury(name)

    def _abandon(self, session: Session, *, own_failure: bool = True) -> None:
        """Ends a session: running battles become void, and the other games go to another session."""
        left = session.left
        for room, begun in session.begun.items():
            self._server.send("void", room)
            self._out.append(aborted(begun.attempt, None, "crash", begun.started_at))
            attempt = begun.attempt
            left.extend(attempt.next(own_failure=own_failure))
        session.begun = {}
        self._close(session)
        if left:
            self._chunks.append(left)

    def _close(self, session: Session) -> None:
        for output in session.outputs.values():
            output.gather()
        _end(session.processes)
        self._server.send("dismiss", *session.users)
        self._sessions.remove(session)

    def _bury(self, name: str) -> None:
        """Makes all games of an agent that has failed too often void."""
        for session in [one for one in self._sessions if name in (agent.name for agent in one.agents)]:
            self._abandon(session, own_failure=False)
        for chunk in [one for one in self._chunks if name in (one[0].game.p1, one[0].game.p2)]:
            self._chunks.remove(chunk)
            self._out.extend(aborted(attempt, None, "agent_dead", datetime.now(UTC)) for attempt in chunk)

    def _start_server(self) -> ServerProcess | Spectator:
        log = self._log_folder / "server.log"
        if self._settings.url is not None:
            return Spectator(self._settings.url, self._rules.format_id, f"pl{self._token}eye", log)
        return ServerProcess(
            self._simulator,
            port=self._settings.port,
            processes=self._settings.processes,
            log=log,
            arranged=True,
            turn_timeout=self._rules.turn_timeout,
            max_invalid=self._rules.max_invalid,
            folder=self._settings.folder,
        )

    def _replace_server(self, told: str) -> None:
        self._out.append(Notice(f"{told}: its battles are void and are played again"))
        for session in list(self._sessions):
            self._abandon(session)
        if self._deaths.add():
            raise SimulatorError(f"{told}, {retries.DEATHS} times in a row; its log is {self._server.log}")
        self._server = self._start_server()

    def _hear_server(self) -> None:
        try:
            messages = self._server.receive()
        except EOFError:
            self._replace_server(f"the server died (exit status {self._server.stop()})")
            return
        for kind, *rest in messages:
            if kind == "online":
                self._online(*rest)
            elif kind == "refused":
                self._refused(*rest)
            elif kind == "ready":
                self._ready(*rest)
            elif kind == "begin":
                self._begin(*rest)
            elif kind == "end":
                self._ended(*rest)

    def _session_of(self, user: str) -> Session | None:
        return next((session for session in self._sessions if user in session.users), None)

    def _online(self, user: str) -> None:
        session = self._session_of(user)
        if session is None:
            return
        session.quiet_since = time.monotonic()
        for process in session.processes:
            process.online |= process.user == user
        for waiting, role in zip(session.users, session.roles, strict=True):
            if role == "challenger" and all(process.user != waiting for process in session.processes):
                self._start_agent(session, waiting)

    def _ready(self, user: str) -> None:
        session = self._session_of(user)
        if session is not None:
            session.ready.add(user)

    def _begin(self, room: str, number: int, user: str) -> None:
        # Without a session the battle was begun by one that has ended.
        session = self._session_of(user)
        if session is not None:
            session.begin(room, number, datetime.now(UTC))

    def _refused(self, user: str, reason: str) -> None:
        session = self._session_of(user)
        if session is not None:
            self._give_up(
                session, {session.agent_of(user): f"was refused the user name {user} by the server: {reason}"}
            )

    def _ended(self, room: str, record: Mapping[str, Any]) -> None:
        session = next((session for session in self._sessions if room in session.begun), None)
        if session is None:
            return  # its session has ended
        session.quiet_since = time.monotonic()
        if record["end_reason"] == "void":
            index = session.begun[room].attempt.game.index
            self._out.append(Notice(f"the server aborted battle {index}: it is played again"))
            # Its clients may wait for its end for ever.
            self._abandon(session)
            return
        begun: Begun = session.begun.pop(room)
        self._deaths.reset()
        session.suspect = None
        if record["end_reason"] in ("timeout", "disconnect"):
            session.suspect = session.agent_of(record["users"][SIDES.index(other(record["winner"]))])
        for agent in session.agents:
            if agent.name != session.suspect:
                self._failures.reset(agent.name)
        self._collector.take(begun.attempt, session, room, record)


def _end(processes: Sequence[AgentProcess]) -> None:
    """Ends processes in parallel."""
    for process in processes:
        process.let_go()
    for process in processes:
        process.end()
