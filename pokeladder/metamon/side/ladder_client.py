"""Plays battles of one metamon agent on a Showdown server; runs in metamon's interpreter.

It needs only metamon and the standard library. Functions of metamon's versions take different arguments, which are
looked up and not derived from the version. Some values are patched in metamon: the server's address, which older
versions fix at localhost:8000, and the folders that it writes to.

Exit status: 0 after all battles; otherwise the last line on stderr is the reason.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import inspect
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING or __package__:
    from pokeladder.metamon.side import loading
else:  # run as a file, by an interpreter that has no pokeladder
    import loading

POLL_SECONDS = 0.25
CHALLENGE_SECONDS = 1.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    loading.add_weights(parser)
    parser.add_argument("--backend", default="poke-env", help="metamon's battle backend")
    parser.add_argument("--username", required=True)
    parser.add_argument("--server", required=True)
    parser.add_argument("--format", required=True)
    parser.add_argument("--team-dir", required=True)
    parser.add_argument("--battles", type=int, required=True)
    parser.add_argument("--role", choices=["ladder", "challenger", "acceptor"], default="ladder")
    parser.add_argument("--opponent", required=True)
    parser.add_argument("--work-dir", required=True, help="folder for trajectories, battle logs and temporary files")
    return parser.parse_args()


def poke_env(module: str) -> Any:
    """A module of metamon's poke-env, which is not the one that pokeladder plays with."""
    return importlib.import_module(f"poke_env.{module}")


def point_to_server(metamon: loading.Metamon, url: str) -> None:
    """Sets the server; fails at once if it does not answer, since metamon would wait for minutes."""
    address = urlsplit(url)
    try:
        socket.create_connection((address.hostname, address.port or 80), 5).close()
    except OSError as error:
        raise loading.PlayError(f"the server {url} does not answer: {error}") from error
    metamon.wrappers.LocalhostServerConfiguration = poke_env("ps_client.server_configuration").ServerConfiguration(
        url, ""
    )


def teach_fight(metamon: loading.Metamon) -> None:
    """Shows gen 1's ``fight``, the only move of a Pokémon that cannot choose, as ``struggle`` to older versions.

    They do not know ``fight``, raise an exception, and lose by time-out.
    """
    client_class = poke_env("ps_client.ps_client").PSClient
    known = '"fight"' in inspect.getsource(metamon.interface.UniversalAction.action_idx_to_BattleOrder)
    if known and "fight" in getattr(poke_env("environment.move"), "SPECIAL_MOVES", ()):
        return
    handle, send = client_class._handle_message, client_class.send_message
    fighting: set[str] = set()

    async def handle_message(client: Any, message: str) -> None:
        room, _, rest = message.partition("\n")
        if room.startswith(">battle") and "|request|{" in rest:
            fighting.discard(room[1:])
            if '"id":"fight"' in rest:
                fighting.add(room[1:])
                for fight, struggle in (('"id":"fight"', '"id":"struggle"'), ('"Fight"', '"Struggle"')):
                    message = message.replace(fight, struggle)
        await handle(client, message)

    async def send_message(client: Any, message: str, room: str = "", message_2: str | None = None) -> None:
        if room in fighting:
            message = message.replace("/choose move struggle", "/choose move fight")
        await send(client, message, room, message_2)

    client_class._handle_message, client_class.send_message = handle_message, send_message


def heed_refusals(options: argparse.Namespace) -> None:
    """Ends the process if its name or team is refused, since metamon would wait for ever; repeats early challenges."""
    client_class = poke_env("ps_client.ps_client").PSClient
    handle = client_class._handle_message
    asking: set[Any] = set()

    async def ask_again(client: Any) -> None:
        await asyncio.sleep(CHALLENGE_SECONDS)
        await client.send_message(f"/challenge {options.opponent}, {options.format}")

    async def handle_message(client: Any, message: str) -> None:
        if message.startswith("|nametaken|"):
            end(f"the server refused the name {options.username}: {message.rpartition('|')[2]}")
        if message.startswith("|popup|"):
            if options.role == "challenger" and "not found" in message:
                asked = asyncio.ensure_future(ask_again(client))
                asking.add(asked)
                asked.add_done_callback(asking.discard)
                return
            if "rejected" in message:
                end(message[len("|popup|") :].replace("||", " ")[:1000])
        await handle(client, message)

    client_class._handle_message = handle_message


def watch_connection(metamon: loading.Metamon) -> list[Any]:
    """Ends the process when the server closes the connection; returns a list that fills with metamon's environments."""
    made: list[Any] = []
    base = metamon.wrappers.PokeEnvWrapper
    initialize: Callable[..., None] = base.__init__

    def note(environment: Any, *given: Any, **named: Any) -> None:
        initialize(environment, *given, **named)
        made.append(environment)

    def watch() -> None:
        while True:
            time.sleep(POLL_SECONDS)
            if any(environment.agent.ps_client._listening_coroutine.done() for environment in made):
                time.sleep(POLL_SECONDS)
                end("the connection to the server has ended")

    base.__init__ = note
    # It draws a bar, and an exception in it would forfeit the battle.
    base.render = lambda *_, **__: None
    threading.Thread(target=watch, daemon=True).start()
    return made


def end(reason: str) -> None:
    loading.say(reason)
    os._exit(1)


def play(metamon: loading.Metamon, options: argparse.Namespace, folder: Path) -> None:
    model = loading.model_of(metamon, options, folder)
    loading.mend_configuration(metamon, model)
    loading.mend_loading(metamon, model, options, folder)
    if options.backend == "pokeagent" and not hasattr(metamon.wrappers, "PokeAgentPlayer"):
        from metamon.env import metamon_player

        metamon.wrappers.PokeAgentPlayer = metamon_player.PokeAgentPlayer
    point_to_server(metamon, options.server)
    teach_fight(metamon)
    heed_refusals(options)
    environments = watch_connection(metamon)
    function = metamon.evaluate.pretrained_vs_local_ladder
    if options.role != "ladder":
        function = getattr(metamon.evaluate, "pretrained_vs_challenge", None)
        if function is None:
            raise loading.PlayError(
                f"metamon {metamon.package.__version__} can only ladder: register the agent with that role only"
            )
    wanted = {
        "pretrained_model": model,
        "username": options.username,
        "opponent_username": options.opponent,
        "role": options.role,
        "battle_format": options.format,
        "team_set": metamon.wrappers.TeamSet(options.team_dir, options.format),
        "total_battles": options.battles,
        "checkpoint": options.epoch,
        "battle_backend": options.backend,
        "action_temperature": options.temperature,
        "save_trajectories_to": options.work_dir,
        "save_results_to": options.work_dir,
        "save_team_results_to": options.work_dir,
        "log_to_wandb": False,
    }
    known = loading.parameters(function)
    function(**{name: value for name, value in wanted.items() if name in known})
    for environment in environments:
        leave(environment)


def leave(environment: Any) -> None:
    """Closes the connection, which metamon leaves open until the process ends."""

    async def close() -> None:
        await environment.agent.ps_client.websocket.close()

    with suppress(Exception):
        asyncio.run_coroutine_threadsafe(close(), poke_env("concurrency").POKE_LOOP).result(10)
    # The watching thread would take this for a disconnection by the server.
    os._exit(0)


def main() -> int:
    options = arguments()
    if not Path("/dev/nvidiactl").exists():
        # Compiling the networks takes a C++ compiler and half a minute, and gains nothing for single positions.
        os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    folder = Path(options.work_dir) / "tmp"
    loading.settle(folder)
    try:
        play(loading.Metamon(), options, folder)
    except loading.PlayError as error:
        loading.say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
