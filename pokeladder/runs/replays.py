"""Replays of stored battles."""

from __future__ import annotations

from dataclasses import dataclass

from pokeladder.records import Side
from pokeladder.simulator.process import Inquiry


@dataclass(frozen=True)
class Replay:
    """A stored battle, played again from its input log.

    Attributes:
        winner, turns: values of the store.
        replayed_winner, replayed_turns: values of the replay.
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
        """Whether winner and turns of the replay are those of the store."""
        return (self.winner, self.turns) == (self.replayed_winner, self.replayed_turns)

    def page(self) -> str:
        """An HTML page in the form of Showdown's downloaded replays, which loads Showdown's viewer."""
        from jinja2 import Environment, PackageLoader, StrictUndefined

        loader = PackageLoader("pokeladder.runs", "")
        environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
        return environment.get_template("replay_page.html").render(replay=self)


def replay(
    inquiry: Inquiry, battle_id: str, battle_format: str, p1: str, p2: str, winner: Side | None, turns: int, log: str
) -> Replay:
    """Replays the input log of a stored battle in a fresh simulator.

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
    """The log with the agents' names in place of user names."""
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
