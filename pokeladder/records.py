"""The facts that travel from what plays to the store, and the rows that they become there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
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
class Battle:
    """One row of ``battles``, with the teams and the input log, which ``input_logs`` shows.

    Of imported battles only some is known. Columns that were added after version 0.1.0 stand last and are NULL in the
    files of earlier versions.

    Attributes:
        batch: the file that the row came in; trajectories and points of view of the battle name it too.
        p1_version, p2_version: of the agents (:mod:`pokeladder.agents.versions`).
        run_seed: of the run's schedule: only runs of one seed can have equal battles.
        played: digest of all that was played (:func:`played_digest`); NULL where the input log is.
        unrecorded: sides whose trajectory was wanted and could not be made.
    """

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
    turns: int | None
    p1_steps: int | None
    p2_steps: int | None
    p1_invalid: int | None
    p2_invalid: int | None
    p1_left: int | None
    p2_left: int | None
    started_at: datetime | None
    finished_at: datetime | None
    showdown_version: str | None
    game: int | None
    attempt: int | None
    p1_packed: str | None
    p2_packed: str | None
    input_log: str | None
    batch: str
    p1_version: str | None = None
    p2_version: str | None = None
    run_seed: str | None = None
    played: Digest | None = None
    unrecorded: int | None = None


@dataclass(frozen=True, slots=True)
class ServerBattle:
    """One row of ``server_battles``: what a server said of a battle; see :class:`ServerRecord`."""

    battle_id: str
    batch: str
    room: str
    p1_user: str
    p2_user: str
    log: str


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One row of the trajectory files, which ``trajectories`` shows with what follows from it.

    Attributes:
        batch: the battle's; a trajectory whose battle was never stored is not shown.
        document_file: name of the file of documents that this one came in.
        rating: the agent's on Showdown's ladder when it played; None if unrated.
        invalid_steps: steps, from 0, at which the agent had no legal choice to offer at first; None if unknown.
        source: ``recorded``, ``recorded by the agent``, or the file that it came from.
        name: what its file was called, without the suffix; None if recorded.
        digest: SHA-256 of the document.

    The others are described in ``sql/queries/trajectory_summaries.sql``.
    """

    trajectory_id: str
    battle_id: str
    batch: str
    document_file: str
    run_id: str
    format: str
    side: Side
    agent: str
    opponent: str
    result: str
    rating: int | None
    steps: int
    missing_actions: int
    invalid_steps: list[int] | None
    unlisted_actions: int
    used_struggle: bool
    team: list[str]
    lead: str
    opponent_team: list[str]
    opponent_lead: str
    final_hp: float
    opponent_final_hp: float
    pokemon_left: int
    opponent_pokemon_left: int
    played_at: datetime | None
    source: str
    name: str | None
    digest: str


@dataclass(frozen=True, slots=True)
class Point:
    """One point of view of an imported battle, as it was taken in; later ones find their battles by it.

    Attributes:
        point: the trajectory's name; of a row of a battle log its format, player, opponent and record.
        player, opponent: user names, which may not be the agents' names.
        record: metamon's id of what it wrote.
        result: WIN, LOSS, or TIE where a trajectory ends with neither.
        team_file, log, line: from the battle log; None if there is only a trajectory.
        name, played_at, own_signature, other_signature: of the trajectory; None if there is only a log's row.
    """

    point: str
    run_id: str
    battle_id: str
    batch: str
    side: Side
    format: str
    player: str
    opponent: str
    record: str
    result: str
    steps: int
    team_file: str | None
    log: str | None
    line: int | None
    name: str | None
    played_at: datetime | None
    own_signature: str | None
    other_signature: str | None


@dataclass(frozen=True, slots=True)
class Document:
    """One row of the document files: a trajectory's JSON document as metamon reads it."""

    trajectory_id: str
    document_file: str
    document: bytes


@dataclass(frozen=True)
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

    @cached_property
    def seed(self) -> str | None:
        """Of the schedule; None where there is none."""
        seed = json.loads(self.settings).get("seed")
        return None if seed is None else str(seed)


@dataclass(frozen=True, slots=True)
class AgentVersion:
    """What decided how an agent played in a run, or in a session that resumed one.

    Attributes:
        version: digest of ``parts``.
        parts: what was looked at, and its digest or value, as a JSON object.
        recorded_at: when the session began; a run's latest row of an agent is in force.
    """

    run_id: str
    agent: str
    version: str
    parts: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Merge:
    """A file of a run that is merged into another.

    Attributes:
        merged, file: the new and the old file, within the store's folder.
        done: the new one counts, and not the old one; until a row says so it is the other way round.
    """

    merged: str
    file: str
    done: bool


def played_digest(battle: tuple[str | None, ...], input_log: str) -> Digest:
    """A digest of a battle that is equal for battles in which the same was played, whenever and in whatever run.

    Args:
        battle: format, agents, versions and packed teams, whatever tells battles apart besides seed and choices.
        input_log: the simulator's; its lines about players are left out, since generated user names differ.
    """
    choices = [line for line in input_log.split("\n") if not line.startswith((">version", ">player"))]
    text = json.dumps([*battle, *choices])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


def battle_of(run: Run, game: Game, result: Result, batch: str, versions: Mapping[str, str]) -> Battle:
    """The row that ``result`` of ``game`` makes in ``run``; a void attempt gets an id of its own.

    Args:
        versions: of the agents, by name.
    """
    suffix = f".void{result.attempt + 1}" if result.outcome == "void" else ""
    game = result.game or game
    steps, invalid = result.steps or (None, None), result.invalid or (None, None)
    left = result.left or (None, None)
    packed = result.teams or (None, None)
    both = versions.get(game.p1), versions.get(game.p2)
    played = None
    if result.input_log is not None:
        played = played_digest((run.format, game.p1, game.p2, *both, *packed), result.input_log)
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
        p1_steps=steps[0],
        p2_steps=steps[1],
        p1_invalid=invalid[0],
        p2_invalid=invalid[1],
        p1_left=left[0],
        p2_left=left[1],
        started_at=result.started_at,
        # A clock may be set back.
        finished_at=max(result.started_at, result.finished_at),
        showdown_version=run.showdown_version,
        game=game.index,
        attempt=result.attempt,
        p1_packed=packed[0],
        p2_packed=packed[1],
        input_log=result.input_log,
        batch=batch,
        p1_version=both[0],
        p2_version=both[1],
        run_seed=run.seed,
        played=played,
        unrecorded=result.unrecorded,
    )


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a user should know, in a line: how an agent misbehaved for the first time, or what died.

    Attributes:
        topic: what need be said once only, though several workers say it; None if each time counts.
    """

    text: str
    topic: str | None = None
