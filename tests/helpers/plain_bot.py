"""A bot as people write them: a program of its own that logs in to a server, knows nothing of pokeladder, and plays.

python plain_bot.py USER SERVER FORMAT BATTLES ROLE OPPONENT [TEAM_FILE]
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from poke_env.player import MaxBasePowerPlayer
from poke_env.ps_client import AccountConfiguration, ServerConfiguration


async def play(user: str, server: str, battle_format: str, battles: str, role: str, opponent: str, *team: str) -> None:
    player = MaxBasePowerPlayer(
        AccountConfiguration(user, None),
        battle_format=battle_format,
        server_configuration=ServerConfiguration(server, ""),
        open_timeout=None,
        ping_timeout=None,
        team=Path(team[0]).read_text() if team else None,
    )
    if role == "search":
        await player.ladder(int(battles))
    elif role == "challenge":
        await player.send_challenges(opponent, int(battles))
    else:
        await player.accept_challenges(opponent, int(battles))
    print(f"{user} won {player.n_won_battles} of {player.n_finished_battles}")  # noqa: T201


asyncio.run(play(*sys.argv[1:]))
