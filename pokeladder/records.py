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
    """A scheduled battle.

    Attributes:
        index: position in the schedule, from 0.
        pair: number of the mirrored pair within the schedule; None for the odd battle of a matchup.
        p1, p2: names of the agents.
        p1_team, p2_team: names of the teams; None in formats with random teams.
        seed: seed of the battle in Showdown's notation; None if a server chooses it.
    """

    index: int
    pair: int | None
    p1: str
    p2: str
    p1_team: str | None
    p2_team: str | None
    seed: str | None


class StateOutline(NamedTuple):
    """The values of a trajectory's state that summaries use; None where the document lacks them."""

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
    """The values of a trajectory that summaries use; None where the document lacks them.

    Attributes:
        unreadable: the reason why the document cannot be read; None if it can.
        action_count: number of actions including the placeholder at the end, which ``actions`` lacks.
        states: outlines of all states.
        bench: species on the bench in the first state.
        bench_hp: HP of the Pokémon on the bench in the last state.
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
    """One side's trajectory of one battle, as an arena returns it.

    Attributes:
        frame: the JSON document, as an lz4 frame.
        size: size of the document in bytes.
        outline: outline of the document.
        invalid_steps: numbers, from 0, of the steps at which the agent's first choice was illegal; None if unknown.
        source: ``recorded``, or ``recorded by the agent``.
    """

    frame: bytes
    size: int
    outline: Outline
    invalid_steps: tuple[int, ...] | None
    source: str = "recorded"


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """What only the server knows of a battle that was played on it.

    Attributes:
        room: the server's id of the battle.
        p1_user, p2_user: the user names under which the agents played.
        log: the battle's protocol as a spectator sees it.
    """

    room: str
    p1_user: str
    p2_user: str
    log: str


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one attempt at a game.

    Attributes:
        index: the game's position in its schedule.
        attempt: 0 for the first try; void battles are tried again.
        winner: the side that won; None for ties and void battles.
        end_reason: normal, turn_limit, endless_clause, forfeit (the agent gave up), invalid (forfeit after too many
            invalid choices), timeout (forfeit after too many time-outs), disconnect (forfeit: the agent left for
            good), agent_crash (forfeit: the agent ended its process), crash (void), agent_dead (void: the agent's
            process failed too often).
        steps, invalid: number of each side's decisions, and of those with invalid choices; None if unknown.
        left: number of Pokémon that each side had left; None if unknown.
        teams: both teams in Showdown's packed form; None if unknown.
        input_log: the simulator's input log, which replays the battle; None if it was lost.
        trajectories: both sides' trajectories; None where one was not recorded, or lost.
        server: what only the server knows; None on the embedded venue.
        game: the game as it was played, if a server chose other sides, teams or seeds than the schedule.
        unrecorded: number of sides whose trajectory was to be recorded and could not be.
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
    """A line for the user: the first misbehaviour of an agent, or the death of a process.

    Attributes:
        topic: notices with one topic are shown once; None shows each.
    """

    text: str
    topic: str | None = None
