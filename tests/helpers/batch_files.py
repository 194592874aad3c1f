"""Batches of every kind of file, small and made up, for tests of the store itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict

import pyarrow as pa

from pokeladder.records import SIDES
from pokeladder.store.files import Store
from pokeladder.store.rows import Battle, Perspective, ServerBattle, Trajectory
from pokeladder.store.schemas import PERSPECTIVE_SCHEMA, TRAJECTORY_SCHEMA
from pokeladder.store.writer import BatchWriter
from stores import battle, run_of

MOVE = {"name": "bodyslam", "base_power": 85, "accuracy": 1.0}
POKEMON = {"name": "tauros", "status": "nostatus", "hp_pct": 1.0, "moves": [MOVE]}


def document(steps: int) -> bytes:
    state = {"player_active_pokemon": POKEMON, "opponent_active_pokemon": POKEMON, "available_switches": []}
    state |= {"player_prev_move": MOVE, "opponent_prev_move": MOVE, "forced_switch": False}
    return json.dumps({"states": [state] * (steps + 1), "actions": [0] * steps + [-1]}).encode()


def add(store: Store, run_id: str, games: Iterable[int], size: int = 2) -> None:
    """Writes battles of a run, ``size`` a batch, each with its trajectories, its log and its perspectives."""
    writer = BatchWriter(store, run_id)
    waiting = list(games)
    for begin in range(0, len(waiting), size):
        batch = writer.batch
        played = [
            battle(game, "ann", "bob", "p1", battle_id=f"{run_id}-{game:06d}", run_id=run_id, batch=batch)
            for game in waiting[begin : begin + size]
        ]
        both = [(one, side) for one in played for side in SIDES]
        writer.add_documents([f"{one.battle_id}-{side}" for one, side in both], pa.array([document(3)] * len(both)))
        points = [asdict(point(one, side)) for one, side in both]
        store.write_table(pa.Table.from_pylist(points, PERSPECTIVE_SCHEMA), "points", run_id, batch)
        rows = pa.Table.from_pylist([asdict(trajectory(one, side)) for one, side in both], TRAJECTORY_SCHEMA)
        said = [ServerBattle(one.battle_id, batch, f"battle-{one.game}", "ann", "bob", "|win|ann") for one in played]
        writer.write(played, rows, said)


def new_store(folder: str, battles: int, size: int = 2, run_id: str = "run") -> Store:
    """A store with one run that is finished."""
    store = Store(folder)
    store.add_run(run_of(run_id, battles))
    add(store, run_id, range(battles), size)
    return store


def trajectory(of: Battle, side: str) -> Trajectory:
    won = of.winner == side
    return Trajectory(
        trajectory_id=f"{of.battle_id}-{side}",
        battle_id=of.battle_id,
        batch=of.batch,
        document_file=of.batch,
        run_id=of.run_id,
        format=of.format,
        side=side,  # type: ignore[arg-type]
        agent=of.p1 if side == "p1" else of.p2,
        opponent=of.p2 if side == "p1" else of.p1,
        result="WIN" if won else "LOSS",
        rating=None,
        steps=3,
        missing_actions=0,
        invalid_steps=None,
        unlisted_actions=0,
        used_struggle=False,
        team=["tauros"],
        lead="tauros",
        opponent_team=["tauros"],
        opponent_lead="tauros",
        final_hp=1.0,
        opponent_final_hp=0.0,
        pokemon_left=1,
        opponent_pokemon_left=0,
        played_at=of.finished_at,
        source="recorded",
        name=None,
        digest=hashlib.sha256(document(3)).hexdigest(),
    )


def point(of: Battle, side: str) -> Perspective:
    return Perspective(
        point=f"{of.battle_id}-{side}",
        run_id=of.run_id,
        battle_id=of.battle_id,
        batch=of.batch,
        side=side,  # type: ignore[arg-type]
        format=of.format,
        player=of.p1,
        opponent=of.p2,
        record=of.battle_id,
        result="WIN" if of.winner == side else "LOSS",
        steps=3,
        team_file=None,
        log="log",
        line=1,
        name=None,
        played_at=None,
        own_signature=None,
        other_signature=None,
    )
