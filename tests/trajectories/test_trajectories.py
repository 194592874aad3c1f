"""Recorded trajectories against metamon's own files, and against what a fresh simulator tells each side."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import lz4.frame
import pytest
from msgspec.structs import fields

import pokeladder
from pokeladder.simulator.setup import Simulator
from pokeladder.store.files import Store
from pokeladder.trajectories.states import Move, Pokemon, State
from running import DATA, HELPERS, slowly

METAMON = sorted((DATA / "metamon").rglob("*.json.lz4"))
FORMATS = {
    "gen1ou": {"team_set": "standard"},
    "gen9ou": {"team_set": str(DATA / "gen9ou")},
    "gen1randombattle": {},
}


@pytest.fixture(scope="module", params=[slowly(name) if name == "gen1randombattle" else name for name in FORMATS])
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> pokeladder.Ladder:
    ladder = pokeladder.open(tmp_path_factory.mktemp(request.param))
    ladder.tournament(
        ["random", "heuristics"], battles_per_matchup=12, battle_format=request.param, **FORMATS[request.param]
    )
    return ladder


def documents(ladder: pokeladder.Ladder, where: str = "TRUE") -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Rows of ``trajectories`` with their documents."""
    found = ladder.sql(
        "SELECT trajectories.*, decode(document) FROM trajectories "
        f"JOIN documents USING (trajectory_id, document_file) WHERE {where}"
    )
    for *row, document in found.fetchall():
        yield dict(zip(found.columns, row, strict=False)), json.loads(document)


def test_every_side_of_every_battle_is_there(played: pokeladder.Ladder) -> None:
    found = played.sql(
        """
        SELECT battle_id, side, agent, opponent, steps, invalid_actions, result, turns, source, team = list_sort(team)
        FROM trajectories ORDER BY battle_id, side
        """
    ).fetchall()
    expected = played.sql(
        """
        SELECT
            battle_id, side,
            CASE side WHEN 'p1' THEN p1 ELSE p2 END, CASE side WHEN 'p1' THEN p2 ELSE p1 END,
            CASE side WHEN 'p1' THEN p1_steps ELSE p2_steps END,
            CASE side WHEN 'p1' THEN p1_invalid ELSE p2_invalid END,
            CASE WHEN winner IS NULL THEN 'TIE' WHEN winner = side THEN 'WIN' ELSE 'LOSS' END, turns, 'recorded', TRUE
        FROM battles, (VALUES ('p1'), ('p2')) AS sides (side)
        WHERE outcome <> 'void' ORDER BY battle_id, side
        """
    ).fetchall()
    assert found == expected
    assert len(found) == 24


# What metamon's own files look like: keys in order, and the type of each value.


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shape(part) for key, part in value.items()}
    if isinstance(value, list):
        shapes = [shape(part) for part in value]
        assert all(part == shapes[0] for part in shapes)
        return shapes[:1]
    return type(value)


def without_empty_lists(outline: Any, pattern: Any) -> Any:
    """The outline, with what the pattern has in lists that happen to be empty."""
    if isinstance(outline, dict):
        assert list(outline) == list(pattern)
        return {key: without_empty_lists(part, pattern[key]) for key, part in outline.items()}
    if isinstance(outline, list):
        return [without_empty_lists(outline[0], pattern[0])] if outline else pattern
    return outline


def full_shape() -> dict[str, Any]:
    """The shape of a real state with somebody on the bench and all moves known."""
    states = [state for path in METAMON for state in json.loads(lz4.frame.decompress(path.read_bytes()))["states"]]
    outline = shape(next(s for s in states if s["available_switches"] and s["opponent_active_pokemon"]["moves"]))
    outline["opponent_teampreview"] = [str]
    for state in states:
        assert without_empty_lists(shape(state), outline) == outline
    return outline


STATUS = {"nostatus", "par", "slp", "frz", "brn", "psn", "tox", "fnt"}
LETTERS = re.compile("[a-z]+")
LETTERS_AND_DIGITS = re.compile("[a-z0-9]+")


def check_pokemon(pokemon: dict[str, Any], gen: int) -> None:
    assert 0 <= pokemon["hp_pct"] <= 1
    assert (pokemon["hp_pct"] == 0) == (pokemon["status"] == "fnt")
    assert pokemon["status"] in STATUS
    types = pokemon["types"].split(" ")
    assert types == sorted(types)
    assert len(types) == 2
    assert 1 <= pokemon["lvl"] <= 100
    assert len(pokemon["moves"]) <= 4
    for key in ("item", "ability", "effect"):
        assert LETTERS.fullmatch(pokemon[key]), (key, pokemon[key])
    for key in ("name", "base_species", "tera_type"):
        assert LETTERS_AND_DIGITS.fullmatch(pokemon[key]), (key, pokemon[key])
    for key, value in pokemon.items():
        if key.endswith("_boost"):
            assert -6 <= value <= 6
        if key.startswith("base_") and key != "base_species":
            assert 1 <= value <= 255
    if gen == 1:
        assert pokemon["base_spa"] == pokemon["base_spd"]
        assert (pokemon["ability"], pokemon["tera_type"]) == ("noability", "notype")
        assert pokemon["item"] in ("noitem", "unknownitem")
    for move in pokemon["moves"]:
        check_move(move)


def check_move(move: dict[str, Any]) -> None:
    assert LETTERS.fullmatch(move["name"])
    assert move["category"] in ("physical", "special", "status", "nomove")
    assert 0 <= move["accuracy"] <= 1
    assert -8 <= move["priority"] <= 8
    assert 0 <= move["current_pp"] <= move["max_pp"]
    if move["name"] == "nomove":
        assert list(move.values()) == ["nomove", "nomove", "nomove", 0, 1.0, 0, 0, 0]


def test_documents_look_like_metamons(played: pokeladder.Ladder) -> None:
    pattern = full_shape()
    for row, document in documents(played):
        gen = int(row["format"][3])
        assert list(document) == ["states", "actions"]
        states, actions = document["states"], document["actions"]
        assert len(states) == len(actions) == row["steps"] + 1
        assert actions[-1] == -1
        assert all(type(action) is int and 0 <= action <= 12 for action in actions[:-1])
        assert gen == 9 or max(actions) <= 8
        for number, state in enumerate(states):
            assert without_empty_lists(shape(state), pattern) == pattern
            assert state["format"] == row["format"]
            for pokemon in (
                state["player_active_pokemon"],
                state["opponent_active_pokemon"],
                *state["available_switches"],
            ):
                check_pokemon(pokemon, gen)
            for move in (state["player_prev_move"], state["opponent_prev_move"]):
                check_move(move)
            for key in ("player_conditions", "opponent_conditions", "weather", "battle_field"):
                assert LETTERS.fullmatch(state[key])
            assert 0 <= state["opponents_remaining"] <= 6
            assert len(state["available_switches"]) <= 5
            assert len(state["opponent_teampreview"]) == (6 if row["format"] == "gen9ou" else 0)
            over = state["battle_won"] or state["battle_lost"]
            assert not over or number == len(states) - 1
        assert (states[-1]["battle_won"], states[-1]["battle_lost"]) == (
            row["result"] == "WIN",
            row["result"] == "LOSS",
        )
        assert states[0]["player_prev_move"]["name"] == states[0]["opponent_prev_move"]["name"] == "nomove"
        bench = [pokemon["base_species"] for pokemon in states[0]["available_switches"]]
        for state in states:
            order = [bench.index(p["base_species"]) for p in state["available_switches"] if p["base_species"] in bench]
            assert order == sorted(order)


# An eye of its own on what a side is told, line by line.


def to_id(text: str) -> str:
    return re.sub("[^a-z0-9]", "", text.lower())


@dataclass
class Seen:
    species: str = ""
    hp: float = 1.0
    fainted: bool = False
    active: bool = False
    changed: bool = False
    moves: set[str] = field(default_factory=set)


@dataclass
class Eye:
    """What one side can know from the lines that it was sent."""

    side: str
    pokemon: dict[str, Seen] = field(default_factory=dict)
    winner: str | None = None
    over: bool = False

    def look(self, line: str) -> None:
        _, kind, *rest = (line + "||").split("|")
        if kind in ("switch", "drag"):
            for ident, pokemon in self.pokemon.items():
                if ident[:2] == rest[0][:2]:
                    pokemon.active = pokemon.changed = False
            seen = self._of(rest[0])
            seen.species, seen.active = to_id(rest[1].split(",")[0]), True
            self._health(seen, rest[2])
        elif kind in ("-damage", "-heal", "-sethp"):
            self._health(self._of(rest[0]), rest[1])
        elif kind == "faint":
            seen = self._of(rest[0])
            seen.hp, seen.fainted = 0.0, True
        elif kind in ("-transform", "-formechange", "detailschange"):
            self._of(rest[0]).changed = True
        elif kind == "move":
            self._of(rest[0]).moves.add(to_id(rest[1]))
        elif kind in ("win", "tie"):
            self.over, self.winner = True, rest[0] if kind == "win" else None

    def active(self, *, own: bool) -> Seen:
        (found,) = [p for ident, p in self.pokemon.items() if p.active and (ident[:2] == self.side) == own]
        return found

    def opponents(self) -> list[Seen]:
        return [pokemon for ident, pokemon in self.pokemon.items() if ident[:2] != self.side]

    def _of(self, ident: str) -> Seen:
        # "p1a: Name" on the field, "p1: Name" elsewhere.
        return self.pokemon.setdefault(ident[:2] + ident[ident.index(":") :], Seen())

    def _health(self, seen: Seen, text: str) -> None:
        health = text.split(" ")[0]
        if "/" in health:
            left, most = health.split("/")
            seen.hp = int(left) / int(most)
        else:
            seen.hp = 0.0


def watched(simulator: Simulator, logs: list[str]) -> list[list[list[Any]]]:
    """What each side is sent in each battle (``watch_battle.js``)."""
    command = [str(simulator.node.executable), str(HELPERS / "watch_battle.js"), str(simulator.folder)]
    told = subprocess.run(command, input=json.dumps(logs), capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in told.splitlines()]


def index_of(choice: str, request: dict[str, Any]) -> int:
    """metamon's index of a choice, from the request alone."""
    kind, what, *extra = choice.split(" ")
    team = request["side"]["pokemon"]
    if kind == "switch":
        bench = [p for p in team if not p["active"] and not p["condition"].endswith("fnt")]
        names = sorted(to_id(p["details"].split(",")[0]) for p in bench)
        return 4 + names.index(to_id(team[int(what) - 1]["details"].split(",")[0]))
    if what in ("recharge", "struggle", "fight"):
        return 0
    (active,) = [p for p in team if p["active"]]
    names = sorted(re.sub(r"^(hiddenpower|return|frustration).*", r"\1", move) for move in active["moves"])
    return names.index(what) + (9 if "terastallize" in extra else 0)


def agree(state: dict[str, Any], eye: Eye) -> None:
    for key, own in (("player_active_pokemon", True), ("opponent_active_pokemon", False)):
        seen, shown = eye.active(own=own), state[key]
        if not seen.changed:
            assert shown["name"] == seen.species
        assert shown["hp_pct"] == pytest.approx(seen.hp)
        assert (shown["status"] == "fnt") == seen.fainted
    assert state["opponents_remaining"] == 6 - sum(pokemon.fainted for pokemon in eye.opponents())
    opponent = eye.active(own=False)
    if not opponent.changed:
        assert {move["name"] for move in state["opponent_active_pokemon"]["moves"]} <= {
            re.sub(r"\d", "", move) for move in opponent.moves
        }


def test_a_fresh_simulator_tells_the_same(played: pokeladder.Ladder, simulator: Simulator) -> None:
    compared = 0
    logs = dict(played.sql("SELECT battle_id, input_log FROM input_logs").fetchall())
    for battle_id, told in zip(logs, watched(simulator, [*logs.values()]), strict=True):
        for row, document in documents(played, f"battle_id = '{battle_id}'"):
            eye = Eye(row["side"])
            steps = iter(zip(document["states"], document["actions"], strict=True))
            for _, lines, request, choice in (entry for entry in told if entry[0] == row["side"]):
                for line in lines:
                    eye.look(line)
                if eye.over or request is None or request.get("wait") or request.get("teamPreview"):
                    continue
                state, action = next(steps)
                agree(state, eye)
                assert state["forced_switch"] == ("forceSwitch" in request)
                assert state["can_tera"] == bool(request.get("active", [{}])[0].get("canTerastallize"))
                bench = {to_id(p["details"].split(",")[0]): p for p in request["side"]["pokemon"] if not p["active"]}
                for pokemon in state["available_switches"]:
                    left, most = bench[pokemon["name"]]["condition"].split(" ")[0].split("/")
                    assert pokemon["hp_pct"] == pytest.approx(int(left) / int(most))
                assert action == index_of(choice, request)
                compared += 1
            (last,) = steps
            agree(last[0], eye)
            assert (eye.winner is None) == (row["result"] == "TIE")
    assert compared > 300


def opponent_hp(states: list[dict[str, Any]]) -> float:
    """HP as last seen, none for Pokémon that fainted unseen; at most the HP that the remaining ones can have."""
    hp = {f"unseen {number}": 1.0 for number in range(6)}
    for before, state in pairwise([states[0], *states]):
        foe = state["opponent_active_pokemon"]
        if foe["base_species"] not in hp:
            hp.pop(next(name for name in hp if name.startswith("unseen")))
        if state["opponents_remaining"] < before["opponents_remaining"] and foe["hp_pct"] > 0:
            hp[before["opponent_active_pokemon"]["base_species"]] = 0.0
        hp[foe["base_species"]] = foe["hp_pct"]
    last = states[-1]["opponent_active_pokemon"]["hp_pct"]
    return min(sum(hp.values()), last + states[-1]["opponents_remaining"] - (last > 0))


def test_summaries_are_those_of_the_documents(played: pokeladder.Ladder) -> None:
    for row, document in documents(played):
        states, actions = document["states"], document["actions"]
        first, last = states[0], states[-1]
        assert row["missing_actions"] == row["unlisted_actions"] == 0
        assert row["lead"] == first["player_active_pokemon"]["base_species"]
        team = [first["player_active_pokemon"], *first["available_switches"]]
        assert row["team"] == sorted(pokemon["base_species"] for pokemon in team)
        seen = list(dict.fromkeys(state["opponent_active_pokemon"]["base_species"] for state in states))
        assert (row["opponent_team"], row["opponent_lead"]) == (seen, seen[0])
        left = [last["player_active_pokemon"], *last["available_switches"]]
        assert row["final_hp"] == pytest.approx(sum(pokemon["hp_pct"] for pokemon in left), abs=1e-6)
        assert row["pokemon_left"] == sum(pokemon["hp_pct"] > 0 for pokemon in left)
        assert row["opponent_pokemon_left"] == last["opponents_remaining"]
        assert row["opponent_final_hp"] == pytest.approx(opponent_hp(states), abs=1e-6)
        struggled = [
            action < 4
            and not state["forced_switch"]
            and not any(m["current_pp"] for m in state["player_active_pokemon"]["moves"])
            for state, action in zip(states, actions[:-1], strict=False)
        ]
        assert row["used_struggle"] == any(struggled)


def test_steps(played: pokeladder.Ladder) -> None:
    expected = {}
    keys = {field.name for field in fields(State)} - {"format", "battle_won", "battle_lost"}
    for row, document in documents(played):
        states = document["states"]
        turn = 0
        for number, (state, action) in enumerate(zip(states, document["actions"][:-1], strict=False)):
            moves = sorted(move["name"] for move in state["player_active_pokemon"]["moves"])
            switches = sorted(pokemon["name"] for pokemon in state["available_switches"])
            choice = "switch" if 4 <= action <= 8 else "tera" if action > 8 else "move"
            chosen = switches[action - 4] if choice == "switch" else moves[action % 9]
            turn += not state["forced_switch"]
            own = (state["player_active_pokemon"], *state["available_switches"])
            computed = {
                "action": action,
                "choice": choice,
                "chosen": chosen,
                "invalid": False,
                "moves": moves,
                "switches": switches,
                "turn": turn,
                "player_hp": pytest.approx(sum(pokemon["hp_pct"] for pokemon in own), abs=1e-6),
                "opponent_hp": pytest.approx(opponent_hp(states[: number + 1]), abs=1e-6),
            }
            expected[row["trajectory_id"], number] = {key: state[key] for key in keys} | computed
    found = played.sql("FROM steps")
    for values in found.fetchall():
        row = dict(zip(found.columns, values, strict=True))
        wanted = expected.pop((row["trajectory_id"], row["step"]))
        assert {key: row[key] for key in wanted} == wanted
    assert not expected


SQL_TYPES = {str: "VARCHAR", int: "INTEGER", float: "DOUBLE", bool: "BOOLEAN", Sequence[str]: "VARCHAR[]"}


def sql_type(kind: Any) -> str:
    """The DuckDB type of a field of a state."""
    if kind == Sequence[Move]:
        return sql_type(Move) + "[]"
    if kind == Sequence[Pokemon]:
        return sql_type(Pokemon) + "[]"
    if kind in SQL_TYPES:
        return SQL_TYPES[kind]
    return f"STRUCT({', '.join(f'{field.name} {sql_type(field.type)}' for field in fields(kind))})"


def test_sql_has_the_fields_of_states_and_their_types(ladder: pokeladder.Ladder) -> None:
    described = ladder.sql("SELECT column_name, column_type FROM (DESCRIBE steps)").fetchall()
    columns = {name: kind.replace('"', "") for name, kind in described}
    kept = [field for field in fields(State) if field.name not in {"format", "battle_won", "battle_lost"}]
    assert {field.name: columns.get(field.name) for field in kept} == {
        field.name: sql_type(field.type) for field in kept
    }


def test_any_client_can_ask_about_steps(played: pokeladder.Ladder) -> None:
    with duckdb.connect(played.store.database, read_only=True) as connection:
        asked = "SELECT agent, count(*), count(*) FILTER (choice = 'switch') FROM steps GROUP BY agent ORDER BY agent"
        assert connection.sql(asked).fetchall() == played.sql(asked).fetchall()


def test_usage(played: pokeladder.Ladder) -> None:
    games: dict[str, list[str]] = {}
    teams = 0
    for row, _ in documents(played):
        teams += 1
        for species in row["team"]:
            games.setdefault(species, []).append(row["result"])
    found = {
        row[0]: row[1:]
        for row in played.sql("SELECT species, games, wins, ties, usage, win_rate FROM usage").fetchall()
    }
    assert found.keys() == games.keys()
    for species, results in games.items():
        wins, ties = results.count("WIN"), results.count("TIE")
        rate = (wins + ties / 2) / len(results)
        assert found[species] == (len(results), wins, ties, pytest.approx(len(results) / teams), pytest.approx(rate))


# Agents that misbehave.


def play(ladder: pokeladder.Ladder, *agents: str, **settings: Any) -> None:
    ladder.tournament(agents, battles_per_matchup=2, workers=1, **settings)


def test_an_illegal_choice_is_counted_and_another_one_saved(ladder: pokeladder.Ladder) -> None:
    play(ladder, "bots:Illegal,name=illegal", "random", max_invalid=30)
    assert ladder.sql("SELECT bool_and(p1_invalid + p2_invalid > 0) FROM battles").fetchall() == [(True,)]
    for row, document in documents(ladder, "agent = 'illegal'"):
        # The last decision is a forfeit, which is no action.
        assert row["invalid_steps"] == list(range(row["steps"] - 1))
        assert (row["invalid_actions"], row["missing_actions"], row["invalid_rate"]) == (row["steps"] - 1, 1, 1)
        assert row["unlisted_actions"] == 0
        assert document["actions"][-2:] == [-1, -1]
        assert row["end_reason"] == "invalid"
    assert ladder.sql("SELECT DISTINCT invalid FROM steps WHERE agent = 'random'").fetchall() == [(False,)]


def test_a_forfeit(ladder: pokeladder.Ladder) -> None:
    play(ladder, "bots:Forfeits,name=quitter", "random")
    for row, document in documents(ladder):
        gave_up = row["agent"] == "quitter"
        assert row["result"] == ("LOSS" if gave_up else "WIN")
        assert row["missing_actions"] == gave_up
        assert document["states"][-1]["battle_lost"] == gave_up
    counted = "SELECT sum(p1_steps + p2_steps) FROM battles"
    assert ladder.sql("SELECT sum(steps) FROM trajectories").fetchall() == ladder.sql(counted).fetchall()


def test_without_trajectories(ladder: pokeladder.Ladder) -> None:
    play(ladder, "random", "max-power", trajectories=False)
    assert ladder.sql("SELECT count(*) FROM battles").fetchall() == [(2,)]
    assert ladder.sql("SELECT count(*) FROM trajectories").fetchall() == [(0,)]
    assert not list((ladder.store.folder / "documents").glob("2*"))


def test_recording_changes_no_battle(tmp_path: Path) -> None:
    asked = (
        "SELECT game, winner, turns, p1_steps, p2_steps, input_log "
        "FROM battles JOIN input_logs USING (battle_id) ORDER BY game"
    )
    found = []
    for trajectories in (True, False):
        ladder = pokeladder.open(tmp_path / str(trajectories))
        play(ladder, "random", "heuristics", seed=3, trajectories=trajectories)
        found.append(ladder.sql(asked).fetchall())
    assert found[0] == found[1]


def test_a_trajectory_without_its_battle_is_not_shown(ladder: pokeladder.Ladder) -> None:
    """As after a crash between the files of a batch: the battle is then played again, under the same id."""
    play(ladder, "random", "max-power")
    ((run,),) = ladder.sql("SELECT DISTINCT run_id FROM battles").fetchall()
    store = Store(ladder.store.folder)
    for kind in ("trajectories", "documents"):
        for path in list((store.folder / kind / run).iterdir()):
            orphan = path.with_name("crashed-000000.parquet")
            columns = "batch, document_file" if kind == "trajectories" else "document_file"
            replaced = ", ".join(f"'crashed-000000' AS {column}" for column in columns.split(", "))
            duckdb.sql(f"COPY (SELECT * REPLACE ({replaced}) FROM '{path}') TO '{orphan}'")
    assert ladder.sql("SELECT count(*), count(DISTINCT trajectory_id) FROM trajectories").fetchall() == [(4, 4)]
    (steps,) = ladder.sql("SELECT sum(steps) FROM trajectories").fetchall()
    assert ladder.sql("SELECT count(*) FROM steps").fetchall() == [steps]
