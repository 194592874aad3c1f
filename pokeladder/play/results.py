"""Results of games: of those that were not played to their end, and of those that a server reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pokeladder.play.messages import Attempt
from pokeladder.records import SIDES, Game, Recorded, Result, ServerRecord, Side

# Past this turn a battle is a tie.
TURN_LIMIT = 1000
# What the Endless Battle Clause says of a side that it has lose.
BERRY_CYCLING = "berry-cycling and thus loses"


def aborted(attempt: Attempt, winner: Side | None, reason: str, started_at: datetime) -> Result:
    """The result of a game that was cut short: void, or a win if one side's agent did it."""
    return Result(
        index=attempt.game.index,
        attempt=attempt.number,
        winner=winner,
        outcome="win" if winner else "void",
        end_reason=reason,
        turns=0,
        steps=(0, 0),
        invalid=(0, 0),
        left=None,
        teams=None,
        input_log=None,
        started_at=started_at,
        finished_at=datetime.now(UTC),
    )


def from_server(
    attempt: Attempt,
    room: str,
    record: Mapping[str, Any],
    p1: str,
    trajectories: tuple[Recorded | None, Recorded | None],
    unrecorded: int,
) -> Result:
    """The result of a game that was played on a server.

    Args:
        record: see ``server.js``.
        p1: the agent that played that side.
        unrecorded: trajectories that are wanted and could not be made.
    """
    game, invalid = attempt.game, record["invalid"]
    # A server that does not know the schedule gives sides and teams as it likes.
    p2 = game.p2 if p1 == game.p1 else game.p1
    found = None if record["arranged"] else Game(game.index, None, p1, p2, None, None, None)
    return Result(
        index=game.index,
        attempt=attempt.number,
        winner=record["winner"],
        outcome="win" if record["winner"] else "tie",
        end_reason=reported_end_reason(record),
        turns=record["turns"],
        steps=_steps(record),
        invalid=invalid and (len(invalid[0]), len(invalid[1])),
        left=record["left"],
        teams=record["teams"],
        input_log=record["input_log"],
        started_at=datetime.fromtimestamp(record["started"] / 1000, UTC),
        finished_at=datetime.fromtimestamp(record["finished"] / 1000, UTC),
        trajectories=trajectories,
        server=ServerRecord(room, record["users"][0], record["users"][1], record["log"]),
        game=found,
        unrecorded=unrecorded,
    )


def unrecorded(game: int, reason: str) -> tuple[str, str]:
    """What to tell of a trajectory that could not be made: what is wrong, and in which battle and why."""
    wrong = "has a trajectory that could not be recorded"
    return wrong, f"battle {game}: {reason}; the run's last line says how many are missing"


def _steps(record: Mapping[str, Any]) -> tuple[int, int] | None:
    """Decisions of each side, that to give up included."""
    if record["input_log"] is None:
        return None
    lines = [line.split(" ") for line in record["input_log"].split("\n")]
    p1, p2 = (
        sum((line[0] == f">{side}" and line[1] != "team") or line == [">forcelose", side] for line in lines)
        for side in SIDES
    )
    return p1, p2


def reported_end_reason(record: Mapping[str, Any]) -> str:
    """How the battle of a server's record ended, as the column ``end_reason`` of ``battles`` has it."""
    if record["turns"] <= TURN_LIMIT and record["end_reason"] != "normal":
        return str(record["end_reason"])
    return end_reason(record["turns"], record["winner"], record["left"], berry_cycling=BERRY_CYCLING in record["log"])


def end_reason(turns: int, winner: Side | None, left: Sequence[int] | None, *, berry_cycling: bool) -> str:
    """How a battle ended that nobody gave up.

    Args:
        left: Pokémon of each side; None if unknown.
        berry_cycling: the Endless Battle Clause had a side lose for its berries.
    """
    if turns > TURN_LIMIT:
        return "turn_limit"
    # The clause ties a battle that both sides could go on with.
    undecided = winner is None and left is not None and all(left)
    return "endless_clause" if undecided or berry_cycling else "normal"
