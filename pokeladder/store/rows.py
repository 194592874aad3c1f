"""The rows of the store's files: one dataclass a kind of file, whose fields are its columns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from pokeladder.records import Digest, Game, Kind, Outcome, Result, Side


@dataclass(frozen=True, slots=True)
class Battle:
    """One row of the battle files: columns of the views ``battles`` and ``input_logs``.

    Imported battles lack some values. Columns added after version 0.1.0 come last and are NULL in the files of earlier
    versions.

    Attributes:
        batch: name of the file that the row was written to; trajectories and perspectives of the battle refer to it.
        p1_version, p2_version: versions of the agents (:mod:`pokeladder.agents.versions`).
        run_seed: seed of the run's schedule; only runs of one seed can have equal battles.
        played: digest of all that was played (:func:`played_digest`); NULL if there is no input log.
        unrecorded: number of sides whose trajectory was to be recorded and could not be.
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
    """One row of ``server_battles``; see :class:`~pokeladder.records.ServerRecord`."""

    battle_id: str
    batch: str
    room: str
    p1_user: str
    p2_user: str
    log: str


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One row of the trajectory files, from which the view ``trajectories`` is made.

    Attributes:
        batch: batch of the battle; the view leaves out trajectories whose battle was never stored.
        document_file: name of the file of documents that the document was written to.
        rating: the agent's rating on Showdown's ladder when it played; None if unrated.
        invalid_steps: numbers, from 0, of the steps at which the agent's first choice was illegal; None if unknown.
        source: ``recorded``, ``recorded by the agent``, or the path of the ingested file.
        name: name of the ingested file without the suffix; None if recorded.
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
class Perspective:
    """One ingested perspective of a battle; later ones are matched with it.

    Attributes:
        point: name of the trajectory; without one, format, player, opponent and record of the battle log's row.
        player, opponent: user names, which may differ from the agents' names.
        record: metamon's id in the name of the trajectory or the row of the log.
        result: WIN, LOSS, or TIE where a trajectory ends with neither.
        team_file, log, line: from the battle log; None if only a trajectory was ingested.
        name, played_at, own_signature, other_signature: from the trajectory; None if only a log was ingested.
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
    """One row of the document files: the JSON document of a trajectory, as metamon reads it."""

    trajectory_id: str
    document_file: str
    document: bytes


@dataclass(frozen=True)
class Run:
    """One row of ``runs``.

    Attributes:
        settings: the run's settings as JSON; runs with equal settings have equal schedules.
        scheduled: number of battles in the schedule.
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
        """Seed of the schedule; None for imports."""
        seed = json.loads(self.settings).get("seed")
        return None if seed is None else str(seed)


@dataclass(frozen=True, slots=True)
class AgentVersion:
    """The version of an agent in a run, or in a session that resumed one.

    Attributes:
        version: digest of ``parts``.
        parts: JSON object of the digests or values of all that decides how the agent plays.
        recorded_at: start of the session; the latest row of an agent in a run is the valid one.
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
        merged, file: the new and the old file, relative to the store's folder.
        done: True if readers must use the new file; without such a row they must use the old one.
    """

    merged: str
    file: str
    done: bool


def played_digest(battle: tuple[str | None, ...], input_log: str) -> Digest:
    """A digest that two battles share if agents, teams, seed and all choices were the same, in whatever run.

    Args:
        battle: format, agents, versions and packed teams.
        input_log: the simulator's input log; its lines about players are skipped, since generated user names differ.
    """
    choices = [line for line in input_log.split("\n") if not line.startswith((">version", ">player"))]
    text = json.dumps([*battle, *choices])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


def battle_of(run: Run, game: Game, result: Result, batch: str, versions: Mapping[str, str]) -> Battle:
    """The row of a battle; void attempts have ids of their own.

    Args:
        versions: versions of the agents, by name.
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


# Kinds of files with a folder for each run, and their rows.
FOLDERS = {
    "battles": Battle,
    "trajectories": Trajectory,
    "documents": Document,
    "points": Perspective,
    "server_battles": ServerBattle,
}
# Kinds of files with one folder for all runs, and their rows.
SINGLE_FILES = {"runs": Run, "merges": Merge, "versions": AgentVersion}
