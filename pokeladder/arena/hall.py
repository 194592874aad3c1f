"""Games on a websocket server: agents' processes are seated in pairs, watched, and replaced when they fail.

A session is two processes, one of each agent, that play some games of their matchup one after the other. What is known
of a battle is what the server says of it, never what an agent says.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from pokeladder.agents import Agent
from pokeladder.arena.guests import Errand, Guest, roles_of
from pokeladder.arena.messages import Notice, Play, Rules
from pokeladder.arena.observer import Observer
from pokeladder.arena.outbox import Outbox
from pokeladder.arena.scribe import Scribe, Story, Written
from pokeladder.errors import AgentError, SimulatorError
from pokeladder.programs import Program, Role, meet
from pokeladder.records import SIDES, Game, Recorded, Result, ServerRecord, other
from pokeladder.schedule import team_seed
from pokeladder.simulator.server import ServerProcess
from pokeladder.simulator.setup import Simulator

# An agent that fails so often in a row, with no battle finished between, plays no more in this run.
TRIES = 3
# Attempts at one game in all.
ATTEMPTS = 5
# Past this turn a battle is a tie.
TURN_LIMIT = 1000
# Deaths of the server in a row, with no battle finished between, after which there is no point in going on.
HOPELESS = 5
TICK_SECONDS = 0.25
# The server's word that the last battle is over may come after the end of a process that knows already.
PARTING_SECONDS = 2.0
# How long a process has to end by itself when its battles are over.
LEAVING_SECONDS = 10.0


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


@dataclass
class _Session:
    """Two agents' processes and the games that they play, in order.

    Attributes:
        begun: rooms of battles under way, with their games and when they began.
        left: games that have not begun.
        quiet_since: when the last battle ended, or there was reason to expect the first.
        suspect: who kept the other waiting last.
    """

    number: int
    agents: tuple[Agent | Program, Agent | Program]
    users: tuple[str, str]
    roles: tuple[Role, Role]
    left: deque[Play]
    guests: list[Guest] = field(default_factory=list)
    outboxes: dict[str, Outbox] = field(default_factory=dict)
    begun: dict[str, tuple[Play, datetime, float]] = field(default_factory=dict)
    quiet_since: float = field(default_factory=time.monotonic)
    suspect: str | None = None
    over_since: float | None = None

    def agent_of(self, user: str) -> str:
        return self.agents[self.users.index(user)].name

    def user_of(self, agent: str) -> str:
        return self.users[0] if self.agents[0].name == agent else self.users[1]


@dataclass
class _Ended:
    """A battle that is over and waits for its trajectories."""

    play: Play
    session: _Session
    room: str
    record: Mapping[str, Any]
    written: Written | None = None
    since: float = field(default_factory=time.monotonic)


class Hall:
    """Plays games on a server; a context manager that leaves no process behind.

    Args:
        agents: those of all games.
        log_folder: where the server and each agent's process have a file for what they say.

    Raises:
        AgentError: two of the agents cannot meet.
        SimulatorError: the server cannot be started, or reached.
    """

    def __init__(
        self,
        simulator: Simulator,
        agents: Iterable[Agent | Program],
        rules: Rules,
        venue: Venue,
        log_folder: Path,
    ) -> None:
        self._simulator = simulator
        self._agents = {agent.name: agent for agent in agents}
        self._rules = rules
        self._venue = venue
        self._log_folder = log_folder
        # Names of an earlier session may still be known to a server that went on.
        self._token = secrets.token_hex(3)
        self._named = 0
        self._opened = 0
        self._chunks: deque[deque[Play]] = deque()
        self._sessions: list[_Session] = []
        self._waiting: dict[int, _Ended] = {}
        self._out: deque[Result | Notice] = deque()
        self._failures: dict[str, int] = {}
        self._dead: dict[str, str] = {}
        self._deaths_in_a_row = 0
        self._team_folder = log_folder / "teams"
        self._scribes: list[Scribe] = []
        _lay_out_teams(self._team_folder, rules.format_id, venue.team_files)
        self._server = self._start_server()
        try:
            if rules.record_trajectories and venue.url is None:
                self._scribes = [self._start_scribe(n) for n in range(max(1, venue.processes // 2))]
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Hall:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        guests = [guest for session in self._sessions for guest in session.guests]
        for guest in guests:
            guest.let_go()
        for guest in guests:
            guest.end()
        self._sessions = []
        for scribe in self._scribes:
            scribe.end()
        self._scribes = []
        self._server.stop()
        shutil.rmtree(self._team_folder, ignore_errors=True)

    def play(self, games: Iterable[Play]) -> Iterator[Result | Notice | None]:
        """Yields every result as it comes, notices between them, and None every quarter of a second.

        A void result is followed by another attempt at the same game, up to :data:`ATTEMPTS` in all, unless one of its
        agents has failed :data:`TRIES` times in a row.

        Raises:
            AgentError: two agents cannot meet.
            SimulatorError: the server keeps dying.
        """
        self._chunks.extend(_chunks(games, self._venue.parallel))
        for chunk in self._chunks:
            self._roles(chunk[0])
        next_tick = time.monotonic()
        while self._chunks or self._sessions or self._waiting:
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + TICK_SECONDS
                self._open_sessions()
                self._look_after_sessions()
                if self._server.silent():
                    self._replace_server("stopped answering")
                yield from self._told()
                yield None
            sources: list[Any] = [self._server, *(scribe.connection for scribe in self._scribes)]
            for source in wait(sources, timeout=max(0.0, next_tick - time.monotonic())):
                if source is self._server:
                    self._hear_server()
                else:
                    self._hear_scribe(next(scribe for scribe in self._scribes if scribe.connection is source))
            yield from self._told()

    def _told(self) -> Iterator[Result | Notice]:
        while self._out:
            yield self._out.popleft()

    # Sessions

    def _open_sessions(self) -> None:
        for _ in range(len(self._chunks)):
            if len(self._sessions) >= self._venue.parallel:
                return
            chunk = self._chunks.popleft()
            roles = self._roles(chunk[0])
            if roles[0] == "ladder" and self._ladder_is_taken():
                self._chunks.append(chunk)
            else:
                self._open(chunk, roles)

    def _ladder_is_taken(self) -> bool:
        """On a server that pairs whoever waits, one session at a time may use the ladder."""
        return self._venue.url is not None and any(session.roles[0] == "ladder" for session in self._sessions)

    def _roles(self, play: Play) -> tuple[Role, Role]:
        first, second = sorted((play.game.p1, play.game.p2))
        roles = meet(roles_of(self._agents[first]), roles_of(self._agents[second]))
        if roles is None:
            raise AgentError(
                f"agents {first} and {second} cannot meet: {first} can be {_either(self._agents[first])} and "
                f"{second} {_either(self._agents[second])}; give one of them another role in the registry"
            )
        return roles

    def _open(self, chunk: deque[Play], roles: tuple[Role, Role]) -> None:
        first, second = sorted((chunk[0].game.p1, chunk[0].game.p2))
        self._named += 2
        users = (f"pl{self._token}n{self._named - 1}", f"pl{self._token}n{self._named}")
        session = _Session(
            number=self._opened,
            agents=(self._agents[first], self._agents[second]),
            users=users,
            roles=roles,
            left=deque(chunk),
        )
        self._opened += 1
        self._sessions.append(session)
        self._server.send("arrange", *users, *(self._order(session, play) for play in chunk))
        for user, role in zip(users, roles, strict=True):
            # Whoever challenges must find its opponent there.
            if role != "challenger":
                self._seat(session, user)

    def _order(self, session: _Session, play: Play) -> dict[str, Any]:
        """A game as the server is told of it (see ``server.js``)."""
        game = play.game
        order = {
            "number": game.index,
            "p1": session.user_of(game.p1),
            "p2": session.user_of(game.p2),
            "seed": game.seed,
        }
        teams = self._rules.packed_teams(game)
        return (
            {**order, "teams": teams} if teams else {**order, "team_seeds": [team_seed(game, side) for side in SIDES]}
        )

    def _seat(self, session: _Session, user: str) -> None:
        """Starts the process of one of a session's agents."""
        which = session.users.index(user)
        agent = session.agents[which]
        game = session.left[0].game
        errand = Errand(
            user=user,
            opponent=session.users[1 - which],
            url=self._server.url,
            format_id=self._rules.format_id,
            role=session.roles[which],
            battles=len(session.left),
            team=self._rules.teams.get((game.p1_team if game.p1 == agent.name else game.p2_team) or ""),
            team_folder=self._team_folder,
            backend=self._venue.backend,
        )
        try:
            guest = Guest(agent, errand, self._log_folder, self._gpu())
        except OSError as error:
            self._give_up(session, {agent.name: f"cannot be started: {error}"})
            return
        session.guests.append(guest)
        session.quiet_since = time.monotonic()
        if isinstance(agent, Program) and agent.writes:
            session.outboxes[user] = Outbox(guest.work, user)

    def _gpu(self) -> str | None:
        if not self._venue.gpus:
            return None
        used = [guest.gpu for session in self._sessions for guest in session.guests]
        return min(self._venue.gpus, key=used.count)

    def _look_after_sessions(self) -> None:
        for session in list(self._sessions):
            if session.left or session.begun:
                self._check(session)
            elif not any(ended.session is session for ended in self._waiting.values()):
                self._part(session)
        for ended in list(self._waiting.values()):
            self._collect(ended)

    def _check(self, session: _Session) -> None:
        """Ends a session in which something takes too long or is gone."""
        now = time.monotonic()
        failed: dict[str, str] = {}
        for guest in session.guests:
            status = guest.status()
            name, limit = guest.agent.name, guest.limits.start_timeout
            if status is not None and guest.ended is not None and now > guest.ended + PARTING_SECONDS:
                unplayed = len(session.left) + len(session.begun)
                failed[name] = f"ended with exit status {status} before {unplayed} of its battles were over"
            elif not guest.online and now > guest.started + limit:
                failed[name] = f"did not log in within {limit:g} s"
            elif session.begun and now > min(at for _, _, at in session.begun.values()) + guest.limits.battle_timeout:
                failed[name] = f"was in a battle for more than {guest.limits.battle_timeout:g} s"
        limit = max(agent.limits.start_timeout for agent in session.agents)
        expected = len(session.guests) == 2 and all(guest.online for guest in session.guests)
        if not failed and expected and not session.begun and now > session.quiet_since + limit:
            who = [session.agent_of(session.suspect)] if session.suspect else [agent.name for agent in session.agents]
            failed = dict.fromkeys(who, f"began no battle within {limit:g} s")
        if failed:
            self._give_up(session, failed)

    def _part(self, session: _Session) -> None:
        """Ends the processes of a session whose games are over, once they have had the time to do so themselves."""
        now = time.monotonic()
        if session.over_since is None:
            session.over_since = now
        gone = all(guest.status() is not None for guest in session.guests)
        if gone or now > session.over_since + LEAVING_SECONDS:
            self._close(session)

    def _give_up(self, session: _Session, failed: Mapping[str, str]) -> None:
        """Ends a session for the failure of some of its agents; its games go to another one."""
        for name, reason in failed.items():
            self._failures[name] = self._failures.get(name, 0) + 1
            guest = next((guest for guest in session.guests if guest.agent.name == name), None)
            tail, log = (guest.tail(), f" (its log is {guest.log})") if guest else ("", "")
            dead = self._failures[name] >= TRIES
            then = f"{TRIES} times in a row: its battles stay void" if dead else "its battle is played again"
            self._out.append(Notice(f"agent {name} {reason}{tail}; {then}{log}"))
            if dead:
                self._dead[name] = reason
        self._abandon(session, blame=1)
        for name in failed:
            if name in self._dead:
                self._bury(name)

    def _abandon(self, session: _Session, blame: int) -> None:
        """Ends a session; the battles under way are void, and what is left goes to another one."""
        again = []
        for room, (play, started_at, _) in session.begun.items():
            self._server.send("void", room)
            self._out.append(_void(play, "crash", started_at))
            if play.blame + blame < ATTEMPTS:
                again.append(Play(play.game, play.attempt + 1, play.blame + blame))
        left = deque([*session.left, *again])
        session.begun, session.left = {}, deque()
        self._close(session)
        if left:
            self._chunks.append(left)

    def _close(self, session: _Session) -> None:
        self._server.send("dismiss", *session.users)
        for guest in session.guests:
            guest.let_go()
        for guest in session.guests:
            guest.end()
        self._sessions.remove(session)

    def _bury(self, name: str) -> None:
        """Ends all matchups of an agent that does not play."""
        for session in [session for session in self._sessions if name in (agent.name for agent in session.agents)]:
            self._abandon(session, blame=0)
        for chunk in [chunk for chunk in self._chunks if name in (chunk[0].game.p1, chunk[0].game.p2)]:
            self._chunks.remove(chunk)
            now = datetime.now(UTC)
            self._out.extend(_void(play, "agent_dead", now) for play in chunk)

    # The server

    def _start_server(self) -> ServerProcess | Observer:
        if self._venue.url is not None:
            return Observer(
                self._venue.url, self._rules.format_id, f"pl{self._token}eye", self._log_folder / "observer.log"
            )
        return ServerProcess(
            self._simulator,
            port=self._venue.port,
            processes=self._venue.processes,
            log=self._log_folder / "server.log",
            arranged=True,
            turn_timeout=self._rules.turn_timeout,
            max_invalid=self._rules.max_invalid,
            folder=self._venue.folder,
        )

    def _replace_server(self, what: str) -> None:
        self._server.kill()
        status = self._server.stop()
        self._out.append(
            Notice(f"the server {what} (exit status {status}): its battles are void and are played again on another")
        )
        for session in list(self._sessions):
            self._abandon(session, blame=1)
        self._deaths_in_a_row += 1
        if self._deaths_in_a_row >= HOPELESS:
            raise SimulatorError(
                f"the server {what} {HOPELESS} times in a row with no battle finished between; its log is {self._server.log}"
            )
        self._server = self._start_server()

    def _hear_server(self) -> None:
        try:
            messages = self._server.receive()
        except EOFError:
            self._replace_server("died")
            return
        for kind, *rest in messages:
            if kind == "online":
                self._online(*rest)
            elif kind == "refused":
                self._refused(*rest)
            elif kind == "begin":
                self._begin(*rest)
            elif kind == "end":
                self._end(*rest)

    def _session_of(self, user: str) -> _Session | None:
        return next((session for session in self._sessions if user in session.users), None)

    def _online(self, user: str) -> None:
        session = self._session_of(user)
        if session is None:
            return
        session.quiet_since = time.monotonic()
        for guest in session.guests:
            guest.online |= guest.user == user
        for waits, role in zip(session.users, session.roles, strict=True):
            if role == "challenger" and all(guest.user != waits for guest in session.guests):
                self._seat(session, waits)

    def _refused(self, user: str, reason: str) -> None:
        session = self._session_of(user)
        if session is not None:
            self._give_up(session, {session.agent_of(user): f"was refused the user name {user}: {reason}"})

    def _begin(self, room: str, number: int) -> None:
        for session in self._sessions:
            for play in session.left:
                if play.game.index == number:
                    session.left.remove(play)
                    session.begun[room] = (play, datetime.now(UTC), time.monotonic())
                    return

    def _end(self, room: str, record: Mapping[str, Any]) -> None:
        session = next((session for session in self._sessions if room in session.begun), None)
        if session is None:
            return  # it was given up before
        play, started_at, _ = session.begun.pop(room)
        session.quiet_since = time.monotonic()
        if record["end_reason"] == "void":
            # Its two clients may wait for it for ever.
            session.begun[room] = (play, started_at, 0.0)
            self._out.append(Notice(f"the server broke battle {play.game.index} off: it is played again"))
            self._abandon(session, blame=1)
            return
        ended = _Ended(play, session, room, record)
        loser = record["winner"] and other(record["winner"])
        late = loser and record["end_reason"] in ("timeout", "disconnect")
        session.suspect = record["users"][0 if loser == "p1" else 1] if late else None
        if not late:
            self._failures.pop(play.game.p1, None)
            self._failures.pop(play.game.p2, None)
        self._deaths_in_a_row = 0
        self._waiting[play.game.index] = ended
        for outbox in session.outboxes.values():
            outbox.expect(play.game.index, record)
        if self._scribes and record.get("input_log"):
            self._scribes[play.game.index % len(self._scribes)].write(self._story(ended))
        else:
            ended.written = Written(play.game.index, (None, None), None)
        self._collect(ended)

    # Trajectories

    def _start_scribe(self, number: int) -> Scribe:
        return Scribe(self._simulator, self._log_folder / f"scribe-{number}.log")

    def _story(self, ended: _Ended) -> Story:
        p1_invalid, p2_invalid = ended.record["invalid"]
        return Story(
            number=ended.play.game.index,
            format_id=self._rules.format_id,
            gen=self._rules.gen,
            input_log=ended.record["input_log"],
            invalid_steps=(p1_invalid, p2_invalid),
        )

    def _hear_scribe(self, scribe: Scribe) -> None:
        try:
            written = scribe.read()
        except EOFError:
            which = self._scribes.index(scribe)
            scribe.end()
            self._scribes[which] = self._start_scribe(which)
            self._out.append(Notice("the process that writes trajectories died: it is started again"))
            for index, ended in self._waiting.items():
                if ended.written is None and index % len(self._scribes) == which:
                    # Once more would kill it once more if it was this battle.
                    ended.written = Written(index, (None, None), None)
                    self._collect(ended)
            return
        ended_battle = self._waiting.get(written.number)
        if ended_battle is not None:
            ended_battle.written = written
            self._collect(ended_battle)

    def _collect(self, ended: _Ended) -> None:
        """Hands the result on once all is there that is to come."""
        index = ended.play.game.index
        if ended.written is None or index not in self._waiting:
            return
        session = ended.session
        trajectories = list(ended.written.trajectories)
        gone = session not in self._sessions
        if not all(outbox.ready(index, gone=gone) for outbox in session.outboxes.values()):
            return
        for user, outbox in session.outboxes.items():
            side = ended.record["users"].index(user)
            written, remark = outbox.take(index)
            if remark:
                self._out.append(Notice(f"agent {session.agent_of(user)}: {remark}", topic=f"outbox {remark}"))
            if self._rules.record_trajectories and written is not None:
                trajectories[side] = written
        del self._waiting[index]
        self._out.append(_result(ended, session, (trajectories[0], trajectories[1])))


def _chunks(games: Iterable[Play], parallel: int) -> Iterator[deque[Play]]:
    """Each matchup's games in as many parts as keep all sessions busy, mirrored pairs together."""
    matchups: dict[tuple[str, str], list[Play]] = {}
    for play in games:
        first, second = sorted((play.game.p1, play.game.p2))
        matchups.setdefault((first, second), []).append(play)
    parts = -(-parallel // max(1, len(matchups)))
    for plays in matchups.values():
        size = -(-len(plays) // parts)
        size += size % 2
        for begin in range(0, len(plays), size):
            yield deque(plays[begin : begin + size])


def _lay_out_teams(folder: Path, format_id: str, files: Sequence[Path]) -> None:
    """The team set where agents find it: ``<format>/<name>.<format>_team``."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / format_id).mkdir(parents=True)
    for file in files:
        shutil.copyfile(file, folder / format_id / file.name)


def _either(agent: Agent | Program) -> str:
    return " or ".join(roles_of(agent))


def _result(ended: _Ended, session: _Session, trajectories: tuple[Recorded | None, Recorded | None]) -> Result:
    """The result that the server's record of a battle makes."""
    record, game = ended.record, ended.play.game
    first = session.agent_of(record["users"][0])
    invalid = record["invalid"]
    return Result(
        index=game.index,
        attempt=ended.play.attempt,
        winner=record["winner"],
        outcome="win" if record["winner"] else "tie",
        end_reason=_end_reason(record),
        turns=record["turns"],
        steps=_steps(record),
        invalid=invalid and (len(invalid[0]), len(invalid[1])),
        left=record["left"],
        teams=record["teams"],
        input_log=record["input_log"],
        started_at=datetime.fromtimestamp(record["started"] / 1000, UTC),
        finished_at=datetime.fromtimestamp(record["finished"] / 1000, UTC),
        trajectories=trajectories,
        server=ServerRecord(ended.room, *record["users"], record["log"]),
        # A server that was not told of the schedule seats and arms the two as it likes.
        game=None
        if record["arranged"]
        else Game(game.index, None, first, game.p2 if first == game.p1 else game.p1, None, None, None),
    )


def _steps(record: Mapping[str, Any]) -> tuple[int, int] | None:
    """Decisions of each side, that to give up included."""
    if record["input_log"] is None:
        return None
    lines = [line.split(" ") for line in record["input_log"].split("\n")]
    p1, p2 = (
        sum(line[0] == f">{side}" and line[1] != "team" or line == [">forcelose", side] for line in lines)
        for side in SIDES
    )
    return p1, p2


def _end_reason(record: Mapping[str, Any]) -> str:
    if record["end_reason"] != "normal":
        return str(record["end_reason"])
    if record["turns"] >= TURN_LIMIT:
        return "turn_limit"
    undecided = record["winner"] is None and record["left"] and all(record["left"])
    return "endless_clause" if undecided or "berry-cycling and thus loses" in record["log"] else "normal"


def _void(play: Play, reason: str, started_at: datetime) -> Result:
    return Result(
        index=play.game.index,
        attempt=play.attempt,
        winner=None,
        outcome="void",
        end_reason=reason,
        turns=0,
        steps=(0, 0),
        invalid=(0, 0),
        left=None,
        teams=None,
        input_log=None,
        started_at=started_at,
        finished_at=datetime.now(UTC),
    )
