"""Behaves as metamon's ladder script does, files included, with a player that chooses at random.

Takes the arguments of ``pokeladder/metamon/side/ladder_client.py``, whose path comes first.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import random
from datetime import datetime
from pathlib import Path
from typing import Any

import lz4.frame
from poke_env.player import RandomPlayer
from poke_env.ps_client import AccountConfiguration, ServerConfiguration

import metamon_data


class Metamon(RandomPlayer):
    """Writes a trajectory and a line of the battle log at the end of each battle."""

    def __init__(self, work: Path, opponent: str, lies: bool, **settings: Any) -> None:
        super().__init__(**settings)
        self.work, self.opponent, self.lies = work, opponent, lies
        self.steps = 0
        self.log = work / f"battle_log_{self.username}_{self.format}.csv"
        self._say(["Player Username", "Team File", "Opponent Username", "Result", "Turn Count", "Battle ID"], ", ")

    def choose_move(self, battle: Any) -> Any:
        self.steps += 1
        return self.choose_random_move(battle)

    def _battle_finished_callback(self, battle: Any) -> None:
        result = "WIN" if bool(battle.won) is not self.lies else "LOSS"
        record = f"{random.randrange(10**10):010}"
        document = metamon_data.play(int(record), "p1", 4)[0]
        folder = self.work / self.format
        folder.mkdir(exist_ok=True)
        names = f"{self.username}_vs_{self.opponent}"
        when = datetime.now().strftime("%m-%d-%Y-%H:%M:%S")  # noqa: DTZ005
        path = folder / f"metamon-{self.format}-{record}_Unrated_{names}_{when}_{result}.json.lz4"
        staged = path.with_name(path.name + ".tmp")
        staged.write_bytes(lz4.frame.compress(json.dumps(document).encode()))
        staged.rename(path)
        self._say([self.username, "/teams/some.gen1ou_team", self.opponent, result, self.steps, record], ",")
        self.steps = 0

    def _say(self, values: list[Any], comma: str) -> None:
        with self.log.open("a", newline="") as file:
            if comma == ",":
                csv.writer(file).writerow(values)
            else:
                file.write(comma.join(values) + "\n")


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("path")
    for name in ("run", "epoch", "backend", "username", "server", "format", "team-dir", "role", "opponent", "work-dir"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--battles", type=int)
    parser.add_argument("--temperature", type=float, default=1.0)
    options = parser.parse_args()
    team = next((Path(options.team_dir) / options.format).glob(f"*.{options.format}_team"))
    player = Metamon(
        Path(options.work_dir),
        options.opponent,
        options.temperature == 2,
        account_configuration=AccountConfiguration(options.username, None),
        battle_format=options.format,
        server_configuration=ServerConfiguration(options.server, ""),
        open_timeout=None,
        ping_timeout=None,
        team=team.read_text(),
    )
    await player.ladder(options.battles)


asyncio.run(main())
