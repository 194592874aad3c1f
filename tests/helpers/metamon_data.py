"""Trajectories and battle logs as metamon writes them: real ones, and small ones of made-up battles."""

from __future__ import annotations

import csv
import json
import math
import random
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import lz4.frame
import pytest

import pokeladder

DATA = Path(__file__).parent.parent / "data" / "metamon"
LADDER, BASELINES = DATA / "ladder", DATA / "baselines"
LOG_HEADER = "Player Username, Team File, Opponent Username, Result, Turn Count, Battle ID"
NOON = datetime(2026, 1, 2, 12)  # noqa: DTZ001 - file names tell no time zone
SPECIES = ["tauros", "snorlax", "chansey", "exeggutor", "starmie", "alakazam", "zapdos", "lapras", "rhydon", "gengar"]
MOVES = ["blizzard", "bodyslam", "earthquake", "hyperbeam"]

Document = dict[str, Any]
Rows = list[tuple[Any, ...]]


def rows(ladder: pokeladder.Ladder, query: str, **parameters: Any) -> Rows:
    return ladder.sql(query, parameters).fetchall()


def number_of(ladder: pokeladder.Ladder, table: str) -> int:
    ((number,),) = rows(ladder, f"SELECT count(*) FROM {table}")
    return int(number)


def stem(path: Path) -> str:
    return path.name.removesuffix(".lz4").removesuffix(".json")


def content(path: Path) -> bytes:
    packed = path.read_bytes()
    return lz4.frame.decompress(packed) if path.suffix == ".lz4" else packed


def read(path: Path) -> Document:
    document: Document = json.loads(content(path))
    return document


def trajectories_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.json*") if path.name.endswith((".json", ".json.lz4")))


def write(folder: Path, name: str, document: Document | bytes, suffix: str = ".json.lz4") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    path = folder / f"{name}{suffix}"
    path.write_bytes(lz4.frame.compress(text) if suffix.endswith(".lz4") else text)
    return path


def write_log(folder: Path, player: str, games: Iterable[tuple[str, str, int | str, str]]) -> Path:
    """A battle log; games are opponent, result, steps and metamon's id."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{player},teams/{player}.gen1ou_team,{','.join(map(str, game))}" for game in games]
    path = folder / f"battle_log_{player}_gen1ou.csv"
    path.write_text("\n".join([LOG_HEADER, *lines, ""]))
    return path


def file_name(player: str, opponent: str, result: str = "WIN", number: int = 1, after: float = 0) -> str:
    """A name without suffix of a file that metamon writes itself, so many seconds after noon."""
    time = f"{NOON + timedelta(seconds=after):%m-%d-%Y-%H:%M:%S}"
    return f"metamon-gen1ou-{number:010d}_Unrated_{player}_vs_{opponent}_{time}_{result}"


def move(name: str, pp: int = 8) -> Document:
    kind = {"name": name, "move_type": "normal", "category": "physical"} if pp else dict.fromkeys(KINDS, name)
    return {**kind, "base_power": 80 if pp else 0, "accuracy": 1.0, "priority": 0, "current_pp": pp, "max_pp": pp}


KINDS = ("name", "move_type", "category")
NO_MOVE = move("nomove", 0)
BOOSTS = [f"{name}_boost" for name in ("atk", "spa", "def", "spd", "spe", "accuracy", "evasion")]
STATS = [f"base_{name}" for name in ("atk", "spa", "def", "spd", "spe", "hp")]


def pokemon(species: str, hp: float = 1.0, status: str = "nostatus") -> Document:
    known = {"name": species, "hp_pct": hp, "types": "normal notype", "item": "noitem", "ability": "noability"}
    known |= {"lvl": 100, "status": status if hp else "fnt", "effect": "noeffect", "moves": list(map(move, MOVES))}
    known |= dict.fromkeys(BOOSTS, 0) | dict.fromkeys(STATS, 80)
    return {**known, "tera_type": "notype", "base_species": species}


def state(active: Document, opponent: Document, switches: Sequence[Document] = (), **changes: Any) -> Document:
    known = {"format": "gen1ou", "player_active_pokemon": active, "opponent_active_pokemon": opponent}
    known |= {"available_switches": list(switches), "player_prev_move": NO_MOVE, "opponent_prev_move": NO_MOVE}
    known |= {"opponents_remaining": 6, "player_conditions": "noconditions", "opponent_conditions": "noconditions"}
    known |= {"weather": "noweather", "battle_field": "nofield", "forced_switch": False, "battle_won": False}
    return {**known, "battle_lost": False, "can_tera": False, "opponent_teampreview": [], **changes}


def still(steps: int, result: str = "WIN", missing: Iterable[int] = (), **changes: Any) -> Document:
    """A trajectory in which nothing happens, with -1 at the steps ``missing``."""
    states = [state(pokemon("tauros"), pokemon("snorlax"), **changes) for _ in range(steps + 1)]
    states[-1] |= {"battle_won": result == "WIN", "battle_lost": result == "LOSS"}
    gone = set(missing)
    return {"states": states, "actions": [-1 if step in gone else 0 for step in range(steps)] + [-1]}


def crowd(species: int) -> Document:
    """A trajectory in which the opponent shows this many Pokémon."""
    document = still(species)
    for number, known in enumerate(document["states"]):
        known["opponent_active_pokemon"] = pokemon(f"species{number}")
    return document


def without(key: str) -> Document:
    """A trajectory whose last state lacks something, of the state or of the active Pokémon."""
    document = still(12)
    for known in (document["states"][-1], document["states"][-1]["player_active_pokemon"]):
        known.pop(key, None)
    return document


def places(document: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways, key by key, to all that is in a document."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document if isinstance(document, list) else [])
    )
    for key, value in items:
        yield (*way, key)
        yield from places(value, (*way, key))


@dataclass
class _Side:
    """One player's half of a made-up battle."""

    team: dict[str, float]
    active: str
    document: Document = field(default_factory=lambda: {"states": [], "actions": []})
    last_move: Document = field(default_factory=lambda: NO_MOVE)

    def bench(self) -> list[str]:
        return sorted(name for name, hp in self.team.items() if hp > 0 and name != self.active)

    def see(self, other: _Side, **changes: Any) -> None:
        # A player is told the other's HP in whole per cent, rounded up.
        share = other.team[other.active]
        told = 1.0 if share == 1 else min(math.ceil(share * 100), 99) / 100
        seen = {
            "player_prev_move": self.last_move,
            "opponent_prev_move": other.last_move,
            "opponents_remaining": 6 - sum(hp == 0 for hp in other.team.values()),
        }
        own = pokemon(self.active, self.team[self.active])
        switches = [pokemon(name, self.team[name]) for name in self.bench()]
        self.document["states"].append(state(own, pokemon(other.active, told), switches, **{**seen, **changes}))

    def act(self, action: int) -> None:
        self.document["actions"].append(action)
        if action >= 4:
            self.active, self.last_move = self.bench()[action - 4], NO_MOVE
        elif action >= 0:
            self.last_move = move(MOVES[action])


def play(number: int, winner: str | None, turns: int = 3) -> tuple[Document, Document]:
    """Battle ``number`` as both sides saw it: no two of 90 in a row begin alike. The loser gives up at last."""
    luck = random.Random(number)
    lead, other = divmod(number % 90, 9)
    leads = SPECIES[lead], [name for name in SPECIES if name != SPECIES[lead]][other]
    sides = tuple(
        _Side(dict.fromkeys([name, *luck.sample(sorted({*SPECIES} - {name}), 5)], 1.0), name) for name in leads
    )
    for _ in range(turns):
        for side, facing in (sides, sides[::-1]):
            side.see(facing)
        for side in sides:
            side.act(luck.choice([0, 1, 2, 3, 4]))
        for side, facing in (sides, sides[::-1]):
            hit = luck.random() * (side.last_move is not NO_MOVE)
            facing.team[facing.active] = max(0.0, facing.team[facing.active] - hit)
        for side, facing in (sides, sides[::-1]):
            if side.team[side.active] == 0:
                side.see(facing, forced_switch=True)
                side.act(4)
    for name, side, facing in (("p1", *sides), ("p2", *sides[::-1])):
        side.see(facing, battle_won=winner == name, battle_lost=winner not in (name, None))
        side.act(-1)
    return sides[0].document, sides[1].document


@dataclass(frozen=True)
class View:
    """A made-up battle as one player saw it."""

    player: str
    opponent: str
    document: Document
    name: str

    def save(self, folder: Path) -> Path:
        return write(folder, self.name, self.document)

    @property
    def game(self) -> tuple[str, str, int, str]:
        """What its row in a battle log says."""
        record = self.name.partition("_")[0].rpartition("-")[2]
        return self.opponent, self.name.rpartition("_")[2], len(self.document["actions"]) - 1, record


def battle(number: int, players: tuple[str, str], winner: str | None = "p1", after: float = 0) -> tuple[View, View]:
    """Battle ``number`` as both players saw it; files come one second apart, and ties are called LOSS."""
    views = []
    for place, (player, opponent) in enumerate((players, players[::-1])):
        result = "WIN" if winner == f"p{place + 1}" else "LOSS"
        name = file_name(player, opponent, result, 2 * number + place, after + place)
        views.append(View(player, opponent, play(number, winner)[place], name))
    return views[0], views[1]


def summary(document: Document) -> dict[str, Any]:
    """What ``trajectories`` should say, by hand."""
    *states, last = document["states"]
    actions = document["actions"][:-1]
    own = [state["player_active_pokemon"] for state in (*states, last)]
    first_bench = document["states"][0]["available_switches"]
    foes = [state["opponent_active_pokemon"]["base_species"] for state in (*states, last)]
    hp = [pokemon["hp_pct"] for pokemon in (own[-1], *last["available_switches"])]
    return {
        "result": "WIN" if last["battle_won"] else "LOSS" if last["battle_lost"] else "TIE",
        "steps": len(actions),
        "missing_actions": actions.count(-1),
        "unlisted_actions": sum(not is_listed(*step) for step in zip(states, actions, strict=True)),
        "used_struggle": any(state["player_prev_move"]["name"] == "struggle" for state in (*states, last)),
        "team": sorted({pokemon["base_species"] for pokemon in (*own, *first_bench)}),
        "lead": own[0]["base_species"],
        "opponent_team": list(dict.fromkeys(foes)),
        "opponent_lead": foes[0],
        "final_hp": pytest.approx(sum(hp), abs=1e-6),
        "pokemon_left": sum(points > 0 for points in hp),
        "opponent_pokemon_left": last["opponents_remaining"],
    }


def is_listed(state: Document, action: int) -> bool:
    if action in range(4, 9):
        return action - 4 < len(state["available_switches"])
    moves = 0 if state["forced_switch"] else len(state["player_active_pokemon"]["moves"])
    return action == -1 or (action % 9 < moves and (action < 9 or state["can_tera"]))


def short(player: str, opponent: str, result: str, number: int, after: float = 0, **changes: Any) -> View:
    return View(player, opponent, still(2, result, **changes), file_name(player, opponent, result, number, after))


def mirrored(view: View) -> View:
    """The same with both active Pokémon exchanged."""
    swap = {"player_active_pokemon": "opponent_active_pokemon", "opponent_active_pokemon": "player_active_pokemon"}
    states = [{**state, **{one: state[other] for one, other in swap.items()}} for state in view.document["states"]]
    return View(view.player, view.opponent, {**view.document, "states": states}, view.name)


def log_rows(folder: Path) -> list[dict[str, str]]:
    logs = sorted(folder.rglob("battle_log_*.csv"))
    return [row for log in logs for row in csv.DictReader(log.read_text().splitlines(), skipinitialspace=True)]


def old_rule(document: Document) -> str | None:
    """Why the old filter rejects a trajectory, its fault mended that it took the placeholder for a missing action."""
    turns, actions = len(document["states"]) - 1, document["actions"]
    if turns < 10:
        return "too_short"
    if turns > 1000:
        return "too_long"
    missing = sum(1 for action in actions[:-1] if action == -1)
    return "invalid_actions" if missing / (len(actions) - 1) > 0.05 else None


def result_of(document: Document) -> str:
    last = document["states"][-1]
    return "WIN" if last["battle_won"] else "LOSS" if last["battle_lost"] else "TIE"


def old_reader(name: str, battle_format: str) -> tuple[str, str, datetime]:
    """Player, opponent and time of a file as metamon's older reader finds them."""
    record, _, player, _, opponent, date, result = name.removesuffix(".json.lz4").split("_")
    assert battle_format in record
    assert result in ("WIN", "LOSS")
    return player, opponent, time_of(date)


def new_reader(name: str, battle_format: str) -> tuple[str, str, datetime]:
    """The same as its newer reader finds them."""
    prefix, date, result = name.removesuffix(".json.lz4").rsplit("_", 2)
    left, opponent = prefix.rsplit("_vs_", 1)
    record, _, player = left.split("_", 2)
    assert battle_format in record.replace("[", "").replace("]", "").replace(" ", "").lower()
    assert result in ("WIN", "LOSS")
    return player, opponent, time_of(date)


def time_of(date: str) -> datetime:
    return datetime.strptime(date, "%m-%d-%Y-%H:%M:%S" if ":" in date else "%m-%d-%Y")  # noqa: DTZ007


def many(folder: Path, number: int) -> int:
    """So many battles with both perspectives; how many steps they have."""
    views = [view for game in range(number) for view in battle(game, ("ann", "bob"), "p1", 100 * (game // 90))]
    for view in views:
        view.save(folder)
    return sum(len(view.document["actions"]) - 1 for view in views)


def counts(ladder: pokeladder.Ladder) -> tuple[int, int, int, int]:
    """Battles, trajectories, different names of these, and steps."""
    ((names,),) = rows(ladder, "SELECT count(DISTINCT name) FROM trajectories")
    return number_of(ladder, "battles"), number_of(ladder, "trajectories"), names, number_of(ladder, "steps")


# Ends itself with a signal when it is about to rename for the n-th time.
SIGNALLED = """
import itertools, os, sys
from pokeladder.cli import main
number, last = int(sys.argv.pop(1)), int(sys.argv.pop(1))
renames = itertools.count(1)
def hook(event, _):
    if event == "os.rename" and next(renames) == last:
        os.kill(os.getpid(), number)
sys.addaudithook(hook)
main()
"""


def signalled(number: int, renames: int, folder: Path, *arguments: str) -> int:
    """The exit status of a command that gets a signal just before it renames a file, the first being 1."""
    command = [sys.executable, "-c", SIGNALLED, str(number), str(renames), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True).returncode
