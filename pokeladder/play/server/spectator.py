"""Watches battles on a running server as a user that does not play.

:class:`Spectator` has the interface of :class:`~pokeladder.simulator.server.ServerProcess` and sends the same messages
(see ``server.js``), but cannot direct the server: agents decide who plays whom, and the server decides about sides,
teams and seeds.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from pokeladder.errors import SimulatorError
from pokeladder.simulator.channel import Channel
from pokeladder.simulator.json_lines import READ_BYTES, Decoder, encoded
from pokeladder.system.processes import start

POLL_SECONDS = 0.1
BEAT_SECONDS = 1.0
START_SECONDS = 30.0


class Spectator(Channel):
    """The watching process.

    Args:
        user: user name of the spectator.

    Raises:
        SimulatorError: the server cannot be reached, or refuses the name.
    """

    def __init__(self, url: str, format_id: str, user: str, log: Path) -> None:
        self.url = url
        self.log = log
        super().__init__(*start("pokeladder.play.server.spectator", url, format_id, user, log=log), START_SECONDS)

    def _started(self, kind: str, *rest: Any) -> None:
        if kind != "ready":
            (reason,) = rest or ("it does not answer",)
            raise SimulatorError(f"the server {self.url} cannot be used: {reason}; start one with `pokeladder server`")


class _Watch:
    """The state of the watching process.

    Attributes:
        games: for each two users, the numbers of the games that they have not begun.
        rooms: lines of each watched battle.
    """

    def __init__(self, tell: socket.socket, websocket: ClientConnection, format_id: str) -> None:
        self._tell = tell
        self._websocket = websocket
        self._format = format_id
        self._online: set[str] = set()
        self._users: set[str] = set()
        self._games: dict[frozenset[str], deque[int]] = {}
        self._rooms: dict[str, list[str]] = {}
        self._known: set[str] = set()
        self._begun: set[str] = set()
        self._started: dict[str, float] = {}

    def send(self, *message: Any) -> None:
        self._tell.sendall(encoded([message]))

    async def order(self, kind: str, *rest: Any) -> None:
        if kind == "arrange":
            first, second, *games = rest
            self._users |= {first, second}
            self._games[frozenset((first, second))] = deque(game["number"] for game in games)
        elif kind == "dismiss":
            self._users -= set(rest)
            self._online -= set(rest)
            self._games.pop(frozenset(rest), None)
        elif kind == "void":
            await self._forget(rest[0])

    async def poll(self) -> None:
        """Asks for the rooms of the users, and joins the next battle to see whether it is theirs."""
        for user in sorted(self._users):
            await self._websocket.send(f"|/cmd userdetails {user}")
        if self._known:
            newest = max(int(room.rpartition("-")[2]) for room in self._known)
            await self._websocket.send(f"|/join battle-{self._format}-{newest + 1}")

    async def hear(self, message: str) -> None:
        if message.startswith(">"):
            room, _, text = message[1:].partition("\n")
            await self._hear_room(room, text.split("\n"))
            return
        for line in message.split("\n"):
            parts = line.split("|", 3)
            if parts[1:3] == ["queryresponse", "userdetails"]:
                await self._locate(orjson.loads(parts[3]))

    async def _locate(self, details: Mapping[str, Any] | None) -> None:
        user = details and details.get("userid")
        if not details or user not in self._users:
            return
        rooms = details.get("rooms")
        if rooms is not False and user not in self._online:
            self._online.add(user)
            self.send("online", user)
        for name in rooms or {}:
            # The user's rank precedes the room's id.
            found = re.search(rf"battle-{self._format}-\d+", name)
            if found and found[0] not in self._known:
                self._known.add(found[0])
                await self._websocket.send(f"|/join {found[0]}")

    async def _hear_room(self, room: str, lines: list[str]) -> None:
        if lines[0].startswith("|init|battle"):
            self._known.add(room)
            self._rooms[room] = []
            self._started[room] = time.time()
        if room not in self._rooms:
            return
        said = self._rooms[room]
        said.extend(lines)
        if room not in self._begun and any(line.startswith("|start") for line in said):
            self._begun.add(room)
            users = _users(said)
            games = self._games.get(frozenset(users))
            if games:
                self.send("begin", room, games.popleft(), users[0])
            else:
                await self._forget(room)  # a battle of others
                return
        if any(line == "|tie" or line.startswith("|win|") for line in lines):
            self.send("end", room, record_of(said, self._started[room]))
            await self._forget(room)

    async def _forget(self, room: str) -> None:
        self._rooms.pop(room, None)
        await self._websocket.send(f"|/leave {room}")


def _users(lines: list[str]) -> tuple[str, str]:
    """The user ids of p1 and p2."""
    found = {"p1": "", "p2": ""}
    for line in lines:
        parts = line.split("|")
        if len(parts) > 3 and parts[1] == "player" and parts[3] and not found.get(parts[2], "-"):
            found[parts[2]] = _id(parts[3])
    return found["p1"], found["p2"]


def record_of(lines: list[str], started: float) -> dict[str, Any]:
    """The record of an ended battle in the form of ``server.js``; values that the lines do not contain are None."""
    users = _users(lines)
    winner = None
    turns = 0
    reason = "normal"
    # Whether a turn has ended and the next has not begun: only the turn limit and the Endless Battle Clause end a
    # battle then.
    between = False
    there = {"p1": True, "p2": True}
    for line in lines:
        parts = line.split("|")
        kind = parts[1] if len(parts) > 1 else ""
        if kind == "win":
            winner = "p1" if _id(parts[2]) == users[0] else "p2"
        elif kind == "turn":
            turns = int(parts[2])
            between = False
        elif kind == "faint":
            between = False
        elif kind in ("start", "upkeep"):
            between = True
        elif kind == "player" and len(parts) > 3 and reason == "normal":
            there[parts[2]] = bool(parts[3])
        elif kind == "-message" and parts[2].endswith(" forfeited."):
            reason = "forfeit"
        elif kind == "-message" and parts[2].endswith(" lost due to inactivity."):
            loser = "p1" if _id(parts[2].removesuffix(" lost due to inactivity.")) == users[0] else "p2"
            reason = "timeout" if there[loser] else "disconnect"
    if between and reason == "normal":
        turns += 1
        reason = "endless_clause"
    return {
        "winner": winner,
        "users": users,
        "turns": turns,
        "end_reason": reason,
        "left": None,
        "teams": None,
        "invalid": None,
        "input_log": None,
        "log": "\n".join(lines),
        "arranged": False,
        "started": started * 1000,
        "finished": time.time() * 1000,
    }


def _id(name: str) -> str:
    """Showdown's id of a user name."""
    return "".join(character for character in name.lower() if character in "abcdefghijklmnopqrstuvwxyz0123456789")


async def _observe(tell: socket.socket, url: str, format_id: str, user: str) -> None:
    reader, _ = await asyncio.open_connection(sock=socket.socket(fileno=os.dup(tell.fileno())))
    tell.setblocking(True)
    try:
        # No time limit here: the arena ends this process after too long a silence.
        async with connect(url, max_size=None, max_queue=None, open_timeout=None, ping_timeout=None) as websocket:
            watch = _Watch(tell, websocket, format_id)
            await _log_in(websocket, user)
            watch.send("ready", 0)
            await asyncio.gather(_take_orders(reader, watch), _poll(watch), _listen(websocket, watch))
    except (OSError, WebSocketException, ValueError) as error:
        reason = "nobody answers there" if isinstance(error, ConnectionRefusedError) else str(error)
        with suppress(OSError):
            tell.sendall(encoded([["failed", reason or type(error).__name__]]))


async def _log_in(websocket: ClientConnection, user: str) -> None:
    async for message in websocket:
        parts = str(message).split("|")
        if parts[1] == "challstr":
            await websocket.send(f"|/trn {user},0,")
        elif parts[1] == "nametaken":
            raise ValueError(f"it refused the user name {user}: {parts[-1]} (start it with --no-security)")
        elif parts[1] == "updateuser" and _id(parts[2].partition("@")[0]) == user:
            return


async def _take_orders(reader: asyncio.StreamReader, watch: _Watch) -> None:
    decoder = Decoder()
    while chunk := await reader.read(READ_BYTES):
        for order in decoder.feed(chunk):
            await watch.order(*order)
    # The parent process has ended.
    os.kill(os.getpid(), signal.SIGTERM)


async def _poll(watch: _Watch) -> None:
    while True:
        await watch.poll()
        await asyncio.sleep(POLL_SECONDS)


async def _listen(websocket: ClientConnection, watch: _Watch) -> None:
    last = 0.0
    async for message in websocket:
        await watch.hear(str(message))
        if time.monotonic() > last + BEAT_SECONDS:
            last = time.monotonic()
            watch.send("beat")


def main() -> None:
    fileno, url, format_id, user = sys.argv[1:]
    asyncio.run(_observe(socket.socket(fileno=int(fileno)), url, format_id, user))
