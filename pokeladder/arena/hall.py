"""Games on a websocket server: agents' processes are seated in pairs, watched, and replaced when they fail.

What is known of a battle is what the server says of it, never what an agent says.
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

from pokeladder.agents import Agent
from pokeladder.arena.desk import Desk
from pokeladder.arena.guests import Errand, Guest, roles_of
from pokeladder.arena.messages import Notice, Play, Rules
from pokeladder.arena.observer import Observer
from pokeladder.arena.outbox import Outbox
from pokeladder.arena.pool import HOPELESS
from pokeladder.arena.sessions import Begun, Session, chunks
from pokeladder.arena.verdicts import unplayed
from pokeladder.errors import AgentError, SimulatorError
from pokeladder.programs import Program, Role, meet
from pokeladder.records import SIDES, Result, other
from pokeladder.schedule import team_seed
from pokeladder.simulator.server import ServerProcess
from pokeladder.simulator.setup import Simulator

# An agent that fails so often in a row, with no battle finished between, plays no more in this run.
TRIES = 3
# Attempts at one game in all.
ATTEMPTS = 5
TICK_SECONDS = 0.25


@dataclass(frozen=True)
class Venue:
    """Where and how the games are played.

    Attributes:
        url: a server that is running already; None to start one.
        port: for the one that is started; 0 for a free one.
        processes: how many of its processes simulate battles.
        folder: keeps the files of the one that is started; None if they are not wanted.
        parallel: sessions at once.
        gpus: what CUDA calls those to spread the agents' processes over.
        backend: passed on to metamon.
        team_files: the team set as it lies on disk.
    """

    url: str | None
    port: int
    processes: int
    folder: Path | None
    parallel: int
    gpus: tuple[str, ...]
    backend: str
    team_files: tuple[Path, ...]


class Hall:
    """Plays games on a server; a context manager that leaves no process behind.

    Args:
        agents: those of all games.
        log_folder: where the server and each agent's process have a file for what they say.

    Raises:
        AgentError: two agents cannot meet.
        SimulatorError: the server cannot be started, or reached.
    """

    def __init__(
        self, simulator: Simulator, agents: Iterable[Agent | Program], rules: Rules, venue: Venue, log_folder: Path
    ) -> None:
        self._simulator = simulator
        self._agents = {agent.name: agent for agent in agents}
        names = sorted(self._agents)
        for first, second in combinations(names, 2) if len(names) > 1 else [(names[0], names[0])]:
            self._roles(first, second)
        self._rules = rules
        self._venue = venue
        self._log_folder = log_folder
        # A server that goes on may still know the names of an earlier call.
        self._token = secrets.token_hex(3)
        self._named = 0
        self._chunks: deque[deque[Play]] = deque()
        self._sessions: list[Session] = []
        self._out: deque[Result | Notice] = deque()
        self._failures: dict[str, int] = {}
        self._deaths_in_a_row = 0
        self._team_folder = log_folder / "teams"
        shutil.rmtree(self._team_folder, ignore_errors=True)
        self._all_teams = self._lay_out_teams(Path("all"), venue.team_files)
        self._server = self._start_server()
        scribes = max(1, venue.processes // 2) if rules.record_trajectories and venue.url is None else 0
        try:
            self._desk = Desk(simulator, rules, scribes, log_folder)
        except BaseException:
            self._server.stop()
            raise

    def __enter__(self) -> Hall:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        _end([guest for session in self._sessions for guest in session.guests])
        self._sessions = []
        self._desk.close()
        self._server.stop()
        shutil.rmtree(self._team_folder, ignore_errors=True)

    def play(self, games: Iterable[Play]) -> Iterator[Result | Notice | None]:
        """Yields every result as it comes, notices between them, and None every quarter of a second.

        A void result is followed by another attempt at the same game, up to :data:`ATTEMPTS` in all, unless one of its
        agents has failed :data:`TRIES` times in a row.

        Raises:
            SimulatorError: the server keeps dying.
        """
        fixed = {name for name, agent in self._agents.items() if isinstance(agent, Program) and agent.fixed_team}
        self._chunks.extend(chunks(games, self._venue.parallel, fixed))
        next_tick = time.monotonic()
        while self._chunks or self._sessions or self._desk.busy():
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + TICK_SECONDS
                self._open_sessions()
                self._look_after_sessions()
                if self._server.silent():
                    self._server.kill()
                    self._server.stop()
                    self._replace_server("the server stopped answering")
                yield None
            sources: list[Any] = [self._server, *self._desk.connections]
            ready = wait(sources, timeout=max(0.0, next_tick - time.monotonic()))
            for source in [one for one in sources if one in ready]:
                if source is sources[0]:
                    self._hear_server()
                else:
                    self._out.extend(self._desk.hear(source))
            self._out.extend(self._desk.finished())
            while self._out:
                yield self._out.popleft()

    def _open_sessions(self) -> None:
        for _ in range(len(self._chunks)):
            if len(self._sessions) >= self._venue.parallel:
                return
            chunk = self._chunks.popleft()
            roles = self._roles(*sorted((chunk[0].game.p1, chunk[0].game.p2)))
            # A server of others pairs whoever waits on its ladder.
            if self._venue.url is not None and any(
                "ladder" in roles and "ladder" in one.roles for one in self._sessions
            ):
                self._chunks.append(chunk)
            else:
                self._open(chunk, roles)

    def _roles(self, *names: str) -> tuple[Role, Role]:
        first, second = (self._agents[name] for name in names)
        roles = meet(roles_of(first), roles_of(second))
        if roles is None:
            told = " and ".join(f"{agent.name} can be {' or '.join(roles_of(agent))}" for agent in (first, second))
            raise AgentError(f"{told}, so that they cannot meet: give one of them another role in the registry")
        return roles

    def _open(self, chunk: deque[Play], roles: tuple[Role, Role]) -> None:
        first, second = (self._agents[name] for name in sorted((chunk[0].game.p1, chunk[0].game.p2)))
        self._named += 2
        users = (f"pl{self._token}n{self._named - 1}", f"pl{self._token}n{self._named}")
        session = Session((first, second), users, roles, deque(chunk), directed=self._venue.url is None)
        self._sessions.append(session)
        self._server.send("arrange", *users, *(self._order(session, play) for play in chunk))
        for user, role in zip(users, roles, strict=True):
            # Whoever challenges must find its opponent there.
            if role != "challenger" and session in self._sessions:
                self._seat(session, user)

    def _order(self, session: Session, play: Play) -> dict[str, Any]:
        """A game as the server is told of it (see ``server.js``)."""
        game = play.game
        p1, p2 = session.users_of(game)
        teams = self._rules.packed_teams(game)
        given = {"teams": teams} if teams else {"team_seeds": [team_seed(game, side) for side in SIDES]}
        return {"number": game.index, "seed": game.seed, "p1": p1, "p2": p2, **given}

    def _seat(self, session: Session, user: str) -> None:
        """Starts the process of one of a session's agents."""
        which = session.users.index(user)
        agent, game = session.agents[which], session.left[0].game
        team = (game.p1_team, game.p2_team)[session.users_of(game).index(user)]
        errand = Errand(
            user=user,
            opponent=session.users[1 - which],
            url=self._server.url,
            format_id=self._rules.format_id,
            role=session.roles[which],
            battles=len(session.left),
            team=None if team is None else self._rules.teams[team],
            team_folder=self._teams_of(agent, team),
            backend=self._venue.backend,
            gen=self._rules.gen,
            additions=self._rules.additions,
        )
        try:
            guest = Guest(agent, errand, self._log_folder, self._gpu() if agent.gpu else None)
        except OSError as error:
            self._give_up(session, {agent.name: f"cannot be started: {error}"})
            return
        session.guests.append(guest)
        session.quiet_since = time.monotonic()
        if isinstance(agent, Program) and agent.writes:
            session.outboxes[user] = Outbox(guest.work, user)

    def _teams_of(self, agent: Agent | Program, team: str | None) -> Path:
        """The folder in which an agent's process finds the teams that it may have to play."""
        if team is None or isinstance(agent, Agent) or not agent.fixed_team:
            return self._all_teams
        name = Path(team).name
        return self._lay_out_teams(Path("each", name), [file for file in self._venue.team_files if file.stem == name])

    def _lay_out_teams(self, place: Path, files: Iterable[Path]) -> Path:
        """A folder with teams where agents look for them: ``<format>/<name>.<format>_team``."""
        folder = self._team_folder / place
        (folder / self._rules.format_id).mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copyfile(file, folder / self._rules.format_id / file.name)
        return folder

    def _gpu(self) -> str | None:
        used = [guest.gpu for session in self._sessions for guest in session.guests]
        return min(self._venue.gpus, key=used.count, default=None)

    def _look_after_sessions(self) -> None:
        for session in list(self._sessions):
            if session not in self._sessions:
                continue  # it went with an agent of another session
            if session.left or session.begun:
                failed = session.failures()
                if failed:
                    self._give_up(session, failed)
            elif not self._desk.busy(session) and session.over():
                self._close(session)

    def _give_up(self, session: Session, failed: Mapping[str, str]) -> None:
        """Ends a session for the failure of some of its agents; its games go to another one."""
        dead = []
        for name, reason in failed.items():
            self._failures[name] = self._failures.get(name, 0) + 1
            guest = session.guest_of(name)
            tail, log = (guest.tail(), f" (its log is {guest.log})") if guest else ("", "")
            then = "another process takes its place"
            if self._failures[name] >= TRIES:
                dead.append(name)
                then = f"it has failed {TRIES} times in a row, and its other battles stay void"
            self._out.append(Notice(f"agent {name} {reason}{tail}; {then}{log}"))
        self._abandon(session)
        for name in dead:
            self._bury(name)

    def _abandon(self, session: Session, blame: int = 1) -> None:
        """Ends a session; the battles under way are void, and what is left goes to another one."""
        left = session.left
        for room, begun in session.begun.items():
            self._server.send("void", room)
            self._out.append(unplayed(begun.play, None, "crash", begun.started_at))
            play = begun.play
            if play.blame + blame < ATTEMPTS:
                left.append(Play(play.game, play.attempt + 1, play.blame + blame))
        session.begun = {}
        self._close(session)
        if left:
            self._chunks.append(left)

    def _close(self, session: Session) -> None:
        for outbox in session.outboxes.values():
            outbox.gather()
        _end(session.guests)
        self._server.send("dismiss", *session.users)
        self._sessions.remove(session)

    def _bury(self, name: str) -> None:
        """Ends all matchups of an agent that does not play."""
        for session in [one for one in self._sessions if name in (agent.name for agent in one.agents)]:
            self._abandon(session, blame=0)
        for chunk in [one for one in self._chunks if name in (one[0].game.p1, one[0].game.p2)]:
            self._chunks.remove(chunk)
            self._out.extend(unplayed(play, None, "agent_dead", datetime.now(UTC)) for play in chunk)

    def _start_server(self) -> ServerProcess | Observer:
        log = self._log_folder / "server.log"
        if self._venue.url is not None:
            return Observer(self._venue.url, self._rules.format_id, f"pl{self._token}eye", log)
        return ServerProcess(
            self._simulator,
            port=self._venue.port,
            processes=self._venue.processes,
            log=log,
            arranged=True,
            turn_timeout=self._rules.turn_timeout,
            max_invalid=self._rules.max_invalid,
            folder=self._venue.folder,
        )

    def _replace_server(self, told: str) -> None:
        self._out.append(Notice(f"{told}: its battles are void and are played again"))
        for session in list(self._sessions):
            self._abandon(session)
        self._deaths_in_a_row += 1
        if self._deaths_in_a_row >= HOPELESS:
            raise SimulatorError(f"{told}, {HOPELESS} times in a row; its log is {self._server.log}")
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
        for guest in session.guests:
            guest.online |= guest.user == user
        for waiting, role in zip(session.users, session.roles, strict=True):
            if role == "challenger" and all(guest.user != waiting for guest in session.guests):
                self._seat(session, waiting)

    def _ready(self, user: str) -> None:
        session = self._session_of(user)
        if session is not None:
            session.ready.add(user)

    def _begin(self, room: str, number: int, user: str) -> None:
        # Without a session it is what one that was given up has still begun.
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
            return  # it was given up before
        session.quiet_since = time.monotonic()
        if record["end_reason"] == "void":
            index = session.begun[room].play.game.index
            self._out.append(Notice(f"the server broke battle {index} off: it is played again"))
            # The two clients may wait for its end for ever.
            self._abandon(session)
            return
        begun: Begun = session.begun.pop(room)
        self._deaths_in_a_row = 0
        session.suspect = None
        if record["end_reason"] in ("timeout", "disconnect"):
            session.suspect = session.agent_of(record["users"][SIDES.index(other(record["winner"]))])
        for agent in session.agents:
            if agent.name != session.suspect:
                self._failures.pop(agent.name, None)
        self._desk.take(begun.play, session, room, record)


def _end(guests: Sequence[Guest]) -> None:
    """Ends processes, all at the same time."""
    for guest in guests:
        guest.let_go()
    for guest in guests:
        guest.end()
