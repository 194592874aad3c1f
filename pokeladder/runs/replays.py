"""Playing stored battles again, and pages that show them."""

from __future__ import annotations

import html
from dataclasses import dataclass

from pokeladder.records import Side
from pokeladder.simulator.process import Inquiry

# What Showdown's own client writes into the replays that it lets people download.
VIEWER = "https://play.pokemonshowdown.com/js/replay-embed.js"


@dataclass(frozen=True)
class Replay:
    """A stored battle, played again from its input log.

    Attributes:
        winner, turns: as the store has them.
        replayed_winner, replayed_turns: as the fresh simulator had them.
        log: the battle's protocol as a spectator sees it, with the agents' names.
    """

    battle_id: str
    format: str
    p1: str
    p2: str
    winner: Side | None
    turns: int
    replayed_winner: Side | None
    replayed_turns: int
    log: str

    @property
    def agrees(self) -> bool:
        """Whether winner and turns are the same."""
        return (self.winner, self.turns) == (self.replayed_winner, self.replayed_turns)

    def page(self) -> str:
        """An HTML page in the form of Showdown's downloaded replays; it fetches Showdown's viewer when opened."""
        title = html.escape(f"{self.format}: {self.p1} vs. {self.p2}")
        # The log stands in a script element, which only "</" could end.
        log = self.log.replace("</", "<\\/")
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n<!-- version 1 -->\n'
            f"<title>{title}</title>\n"
            '<div class="wrapper replay-wrapper" style="max-width:1180px;margin:0 auto">\n'
            f'<input type="hidden" name="replayid" value="{html.escape(self.battle_id)}">\n'
            '<div class="battle"></div><div class="battle-log"></div><div class="replay-controls"></div>\n'
            '<div class="replay-controls-2"></div>\n'
            f"<h1>{title}</h1>\n"
            f'<script type="text/plain" class="battle-log-data">{log}</script>\n'
            f'</div>\n<script src="{VIEWER}"></script>\n'
        )


def replay(
    inquiry: Inquiry, battle_id: str, battle_format: str, p1: str, p2: str, winner: Side | None, turns: int, log: str
) -> Replay:
    """Plays the input log ``log`` of a stored battle in a fresh simulator.

    Raises:
        SimulatorError: the simulator cannot play it.
    """
    played = inquiry.replay(log)
    return Replay(
        battle_id=battle_id,
        format=battle_format,
        p1=p1,
        p2=p2,
        winner=winner,
        turns=turns,
        replayed_winner=played["winner"],
        replayed_turns=played["turns"],
        log=_with_names(played["log"], p1, p2),
    )


def _with_names(log: str, p1: str, p2: str) -> str:
    """The log with the generated user names replaced by those of the agents, where the protocol names players."""
    given: dict[str, str] = {}
    lines = []
    for line in log.split("\n"):
        message = line.split("|")
        if len(message) > 3 and message[1] == "player" and message[3]:
            given[message[3]] = (p1 if message[2] == "p1" else p2).replace("|", "¦")
            message[3] = given[message[3]]
        elif len(message) > 2 and message[1] == "win":
            message[2] = given.get(message[2], message[2])
        lines.append("|".join(message))
    return "\n".join(lines)
