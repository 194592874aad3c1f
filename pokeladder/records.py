"""What is handed from the arenas to the store: games, results, trajectories, notices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

Side = Literal["p1", "p2"]
Kind = Literal["tournament", "selfplay", "import"]
Outcome = Literal["win", "tie", "void"]
# A digest that fits a 64-bit column.
Digest = int
SIDES: tuple[Side, Side] = ("p1", "p2")


def other(side: Side) -> Side:
    return "p2" if side == "p1" else "p1"


@dataclass(frozen=True, slots=True)
class Game:
    """One battle of a schedule, before it is played.

    Attributes:
        index: position in the schedule, from 0.
        pair: number of the mirrored pair within the schedule; None for the odd battle of a matchup.
        p1, p2: agent names.
        p1_team, p2_team: team names; None in formats with random teams.
        seed: seed of the battle, as Showdown writes seeds; None if it was left to a server.
    """

    index: int
    pair: int | None
    p1: str
    p2: str
    p1_team: str | None
    p2_team: str | None
    seed: str | None


class StateOutline(NamedTuple):
    """What summaries need of a trajectory's state; None where the document does not have it."""

    species: str | None
    hp: float | None
    opponent_species: str | None
    opponent_hp: float | None
    moves: int
    switches: int | None
    forced: bool | None
    can_tera: bool
    last_move: str | None
    opponent_last_move: str | None
    opponents_left: int | None
    has_pp: bool
    status: str | None
    opponent_status: str | None


class Outline(NamedTuple):
    """What summaries need of a trajectory; None where the document does not have it.

    Attributes:
        unreadable: why nothing else is known.
        action_count: of all actions, the last one included, which stands for none; ``actions`` lacks it.
        states: all of them.
        bench: species of the first state's bench.
        bench_hp: HP on the last state's bench.
    """

    unreadable: str | None = None
    action_count: int | None = None
    format: str | None = None
    actions: Sequence[int | None] | None = None
    states: Sequence[StateOutline] = ()
    bench: Sequence[str | None] | None = None
    bench_hp: Sequence[float | None] | None = None
    opponent_pokemon_left: int | None = None
    won: bool | None = None
    lost: bool | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """One side's trajectory of one battle, as what plays hands it on.

    Attributes:
        frame: the JSON document, as an lz4 frame.
        size: bytes of the document.
        outline: what summaries need of it.
        invalid_steps: steps, from 0, at which the agent had no legal choice to offer at first; None if unknown.
        source: ``recorded``, or ``recorded by the agent`` itself.
    """

    frame: bytes
    size: int
    outline: Outline
    invalid_steps: tuple[int, ...] | None
    source: str = "recorded"


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """What a server said of a battle.

    Attributes:
        room: what it called the battle.
        p1_user, p2_user: under which names the agents played.
        log: the battle's protocol as a spectator sees it.
    """

    room: str
    p1_user: str
    p2_user: str
    log: str


@dataclass(frozen=True, slots=True)
class Result:
    """How one attempt at a game went.

    Attributes:
        index: the game's position in its schedule.
        attempt: 0 for the first try; void battles are tried again.
        winner: the side that won; None for ties and void battles.
        end_reason: normal, turn_limit, endless_clause, forfeit (the agent gave up), invalid (forfeit after too many
            invalid choices), timeout (forfeit after too many time-outs), disconnect (of one that was waited for and not
            there), agent_crash (forfeit of the agent that took its process down), crash (void), agent_dead (void: the
            agent's process failed again and again).
        steps, invalid: decisions of each side, and how many of them were invalid choices; None when unknown.
        left: Pokémon that each side had left; None when unknown.
        teams: both teams in Showdown's packed form; None when unknown.
        input_log: the simulator's input log, which replays the battle; None when it was lost.
        trajectories: both sides' trajectories; None where it was not recorded, or lost.
        server: what the server said, if it was played on one.
        game: what was played, where a server did not keep to the schedule's sides, teams and seed.
        unrecorded: of how many sides the trajectory was wanted and could not be made.
    """

    index: int
    attempt: int
    winner: Side | None
    outcome: Outcome
    end_reason: str
    turns: int
    steps: tuple[int, int] | None
    invalid: tuple[int, int] | None
    left: tuple[int, int] | None
    teams: tuple[str, str] | None
    input_log: str | None
    started_at: datetime
    finished_at: datetime
    trajectories: tuple[Recorded | None, Recorded | None] = (None, None)
    server: ServerRecord | None = None
    game: Game | None = None
    unrecorded: int = 0


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a user should know, in a line: how an agent misbehaved for the first time, or what died.

    Attributes:
        topic: what need be said once only, though several workers say it; None if each time counts.
    """

    text: str
    topic: str | None = None
