"""A policy process that behaves as policy_server.py does, without metamon: it draws from the legal actions.

It notes how many positions it was asked for at a time, and kills itself at the first battle whose seed says so, if
STAND_IN_DIES names a file that is not there yet.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import signal
import sys
import threading
from collections import Counter
from multiprocessing.connection import Connection, Listener
from pathlib import Path

STATE_KEYS = {"format", "player_active_pokemon", "opponent_active_pokemon", "available_switches", "forced_switch"}
episodes: Counter[tuple[int, int]] = Counter()


def serve(number: int, connection: Connection) -> None:
    connection.send_bytes(pickle.dumps(("ready",), 4))
    while True:
        try:
            kind, content = pickle.loads(connection.recv_bytes())
        except EOFError:
            return
        if kind == "forget":
            for slot in content:
                del episodes[number, slot]
            continue
        answers = []
        for slot, state, legal, seed in content:
            assert json.loads(state).keys() >= STATE_KEYS
            episodes[number, slot] += 1
            answers.append((slot, random.Random(seed).choice(legal)))
        os.write(1, f"asked {len(content)} of {len(episodes)}\n".encode())  # whole lines, whichever thread writes
        dies = os.environ.get("STAND_IN_DIES")
        if dies and episodes.total() > 500 and not Path(dies).exists():
            Path(dies).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        connection.send_bytes(pickle.dumps(("answer", answers), 4))


def main() -> None:
    options = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    if options["--epoch"] == "7":
        sys.exit("there is no such epoch, says the stand-in")
    with Listener(options["--address"], "AF_UNIX") as listener:
        for number in range(1000):
            threading.Thread(target=serve, args=(number, listener.accept()), daemon=True).start()


main()
