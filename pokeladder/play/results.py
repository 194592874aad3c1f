"""Results of games that were aborted, and of games on a server; end reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pokeladder.play.messages import Attempt
from pokeladder.records import SIDES, Game, Recorded, Result, ServerRecord, Side

# Showdown ties a battle after this turn.
TURN_LIMIT = 1000
# Words of the Endless Battle Clause about a side that loses by it.
BERRY_CYCLING = "berry-cycling and thus loses"


def aborted(attempt: Attempt, winner: Side | None, reason: str, started_at: datetime) -> Result:
    """The result of an aborted game: void, or a win if the agent of one side caused it."""
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
        record: the server's record of the battle (see ``server.js``).
        p1: name of the agent that played p1.
        unrecorded: number of trajectories that could not be recorded.
    """
    game, invalid = attempt.game, record["invalid"]
    # A server that does not know the schedule chooses sides and teams.
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
    """Kind and text of a notice about a trajectory that could not be recorded."""
    wrong = "has a trajectory that could not be recorded"
    return wrong, f"battle {game}: {reason}; the run's last line has the number of such trajectories"


def _steps(record: Mapping[str, Any]) -> tuple[int, int] | None:
    """Number of each side's decisions, including that to forfeit."""
    if record["input_log"] is None:
        return None
    lines = [line.split(" ") for line in record["input_log"].split("\n")]
    p1, p2 = (
        sum((line[0] == f">{side}" and line[1] != "team") or line == [">forcelose", side] for line in lines)
        for side in SIDES
    )
    return p1, p2


def reported_end_reason(record: Mapping[str, Any]) -> str:
    """The end reason of a battle from a server's record."""
    if record["turns"] <= TURN_LIMIT and record["end_reason"] != "normal":
        return str(record["end_reason"])
    return end_reason(record["turns"], record["winner"], record["left"], berry_cycling=BERRY_CYCLING in record["log"])


def end_reason(turns: int, winner: Side | None, left: Sequence[int] | None, *, berry_cycling: bool) -> str:
    """The end reason of a battle without a forfeit.

    Args:
        left: number of Pokémon that each side has left; None if unknown.
        berry_cycling: whether the Endless Battle Clause made a side lose for cycling berries.
    """
    if turns > TURN_LIMIT:
        return "turn_limit"
    # The clause ties a battle that both sides could continue.
    undecided = winner is None and left is not None and all(left)
    return "endless_clause" if undecided or berry_cycling else "normal"
