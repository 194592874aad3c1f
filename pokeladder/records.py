"""The facts that travel from the arena to the store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Side = Literal["p1", "p2"]
Kind = Literal["tournament", "selfplay", "import"]
Outcome = Literal["win", "tie", "void"]
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
        seed: seed of the battle, as Showdown writes seeds.
    """

    index: int
    pair: int | None
    p1: str
    p2: str
    p1_team: str | None
    p2_team: str | None
    seed: str


@dataclass(frozen=True, slots=True)
class Result:
    """How one attempt at a game went.

    Attributes:
        index: the game's position in its schedule.
        attempt: 0 for the first try; void battles are tried again.
        winner: the side that won; None for ties and void battles.
        end_reason: normal, turn_limit, endless_clause, forfeit (the agent gave up), invalid (forfeit after too many
            invalid choices), timeout (forfeit after too many time-outs), agent_crash (forfeit of the agent that took
            its process down), crash (void).
        steps, invalid: decisions of each side, and how many of them were invalid choices.
        left: Pokémon that each side had left; None when unknown.
        teams: both teams in Showdown's packed form; None when unknown.
        input_log: the simulator's input log, which replays the battle; None when it was lost.
    """

    index: int
    attempt: int
    winner: Side | None
    outcome: Outcome
    end_reason: str
    turns: int
    steps: tuple[int, int]
    invalid: tuple[int, int]
    left: tuple[int, int] | None
    teams: tuple[str, str] | None
    input_log: str | None
    started_at: datetime
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Battle:
    """One row of ``battles``, with the teams and the input log, which ``input_logs`` shows."""

    battle_id: str
    run_id: str
    kind: Kind
    format: str
    venue: str
    p1: str
    p2: str
    p1_team: str | None
    p2_team: str | None
    pair_id: str | None
    seed: str | None
    winner: Side | None
    outcome: Outcome
    end_reason: str
    turns: int
    p1_steps: int
    p2_steps: int
    p1_invalid: int
    p2_invalid: int
    p1_left: int | None
    p2_left: int | None
    started_at: datetime
    finished_at: datetime
    showdown_version: str | None
    game: int
    attempt: int
    p1_packed: str | None
    p2_packed: str | None
    input_log: str | None


@dataclass(frozen=True, slots=True)
class Run:
    """One row of ``runs``.

    Attributes:
        settings: what was asked for, as JSON; two runs with equal settings have equal schedules.
        scheduled: how many battles the run is to have.
    """

    run_id: str
    kind: Kind
    format: str
    venue: str
    settings: str
    scheduled: int
    started_at: datetime
    pokeladder_version: str
    showdown_version: str | None


def battle_of(run: Run, game: Game, result: Result) -> Battle:
    """The row that ``result`` of ``game`` makes in ``run``; a void attempt gets an id of its own."""
    suffix = f".void{result.attempt + 1}" if result.outcome == "void" else ""
    left = result.left or (None, None)
    packed = result.teams or (None, None)
    return Battle(
        battle_id=f"{run.run_id}-{game.index:06d}{suffix}",
        run_id=run.run_id,
        kind=run.kind,
        format=run.format,
        venue=run.venue,
        p1=game.p1,
        p2=game.p2,
        p1_team=game.p1_team,
        p2_team=game.p2_team,
        pair_id=None if game.pair is None else f"{run.run_id}-pair{game.pair:06d}",
        seed=game.seed,
        winner=result.winner,
        outcome=result.outcome,
        end_reason=result.end_reason,
        turns=result.turns,
        p1_steps=result.steps[0],
        p2_steps=result.steps[1],
        p1_invalid=result.invalid[0],
        p2_invalid=result.invalid[1],
        p1_left=left[0],
        p2_left=left[1],
        started_at=result.started_at,
        finished_at=result.finished_at,
        showdown_version=run.showdown_version,
        game=game.index,
        attempt=result.attempt,
        p1_packed=packed[0],
        p2_packed=packed[1],
        input_log=result.input_log,
    )
