"""Showdown's websocket server on loopback, from the package of the simulator, with a channel to this process."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

from pokeladder.errors import SimulatorError
from pokeladder.simulator.channel import Channel
from pokeladder.simulator.setup import Simulator
from pokeladder.system.processes import last_words
from pokeladder.system.scratch import Scratch

HOOK = Path(__file__).parent / "server.js"
LOOPBACK = "127.0.0.1"
# Parts of the package that the server reads.
LINKED = ("dist", "data", "server", "translations", "node_modules")
WRITTEN = ("config/chat-plugins", "config/ladders", "logs/repl", "databases")
START_SECONDS = 120.0


class ServerProcess(Channel):
    """A running server; a context manager, which ends it and removes its temporary folder.

    Args:
        port: port; 0 for a free one.
        processes: number of processes that simulate battles.
        log: file of its output.
        arranged: whether only arranged battles are played (see ``server.js``).
        turn_timeout: seconds after which a player loses an arranged battle by time-out.
        max_invalid: number of invalid decisions after which a player loses an arranged battle.
        folder: folder for the server's files, with its log of every battle; None for a temporary one.

    Raises:
        SimulatorError: the port is taken, or the server does not start.
    """

    def __init__(
        self,
        simulator: Simulator,
        *,
        port: int = 0,
        processes: int = 1,
        log: Path,
        arranged: bool,
        turn_timeout: float = 60.0,
        max_invalid: int = 100,
        folder: Path | None = None,
    ) -> None:
        self.log = log
        self.port = port
        self._scratch = None
        if folder is None:
            self._scratch = Scratch()
            folder = self._scratch.folder
        self.folder = folder
        try:
            _furnish(self.folder, simulator)
        except OSError as error:
            raise SimulatorError(f"cannot make the server's folder {self.folder}: {error}") from error
        ours, theirs = socket.socketpair()
        settings = {
            "root": str(self.folder),
            "channel": theirs.fileno(),
            "port": port,
            "processes": processes,
            "arranged": arranged,
            "turn_timeout": turn_timeout,
            "max_invalid": max_invalid,
            "log_battles": self._scratch is None,
            "temporary": self._scratch is not None,
        }
        config = f"module.exports = require({json.dumps(str(HOOK))}).configure({json.dumps(settings)});\n"
        (self.folder / "config" / "config.js").write_text(config)
        # Links to the package instead of a copy; modules must resolve paths from the links.
        links = ["--preserve-symlinks", "--preserve-symlinks-main"]
        main = str(self.folder / "dist" / "server" / "index.js")
        with theirs, log.open("ab") as output:
            process = subprocess.Popen(
                [str(simulator.node.executable), *links, main, "--no-security"],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                # Ctrl-C in a terminal must reach pokeladder only, which ends this process by closing the socket.
                start_new_session=True,
            )
        super().__init__(process, ours, START_SECONDS)

    @property
    def url(self) -> str:
        """The URL that clients connect to."""
        return f"ws://{LOOPBACK}:{self.port}/showdown/websocket"

    def stop(self) -> int:
        status = super().stop()
        if self._scratch is not None:
            self._scratch.close()
        return status

    def _started(self, kind: str, *rest: Any) -> None:
        if kind == "ready":
            (self.port,) = rest
        elif kind != "failed":
            within = f" within {START_SECONDS:.0f} s" if kind == "silent" else ""
            raise SimulatorError(f"the server did not start{within}{last_words(self.log)}; its log is {self.log}")
        elif rest == ("EADDRINUSE",):
            raise SimulatorError(
                f"port {self.port} is in use: end the program that listens on it, for example another Showdown server, "
                "or name another port with --port"
            )
        else:
            raise SimulatorError(f"the server cannot listen on port {self.port}: {rest[0]}; name another with --port")


def _furnish(folder: Path, simulator: Simulator) -> None:
    """Makes the server's folder, with links to the package and folders to write to."""
    package = simulator.folder / "node_modules" / "pokemon-showdown"
    folder.mkdir(parents=True, exist_ok=True)
    for name in LINKED:
        target = simulator.folder / name if name == "node_modules" else package / name
        link = folder / name
        if link.is_symlink():
            link.unlink()
        link.symlink_to(target, target_is_directory=True)
    for name in WRITTEN:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for source in (package / "config").iterdir():
        if source.is_file() and not (folder / "config" / source.name).exists():
            shutil.copyfile(source, folder / "config" / source.name)
