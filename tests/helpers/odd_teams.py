"""Random legal teams of the moves that call others, lock their user in, or take choices away."""

from __future__ import annotations

import json
import random
import subprocess
from typing import Any

from pokeladder.simulator.process import Inquiry
from pokeladder.simulator.setup import Simulator
from running import HELPERS

CALLING = [
    "assist",
    "copycat",
    "instruct",
    "magiccoat",
    "mefirst",
    "metronome",
    "mimic",
    "mirrormove",
    "naturepower",
    "sketch",
    "sleeptalk",
    "snatch",
    "transform",
]
LOCKING = [
    "bide",
    "bounce",
    "dig",
    "dive",
    "electroshot",
    "fly",
    "freezeshock",
    "geomancy",
    "iceball",
    "iceburn",
    "meteorbeam",
    "outrage",
    "petaldance",
    "phantomforce",
    "rage",
    "ragingfury",
    "razorwind",
    "rollout",
    "shadowforce",
    "skullbash",
    "skyattack",
    "skydrop",
    "solarbeam",
    "solarblade",
    "thrash",
    "uproar",
    "bind",
    "clamp",
    "firespin",
    "whirlpool",
    "wrap",
    "blastburn",
    "eternabeam",
    "frenzyplant",
    "gigaimpact",
    "hydrocannon",
    "hyperbeam",
    "meteorassault",
    "prismaticlaser",
    "roaroftime",
    "rockwrecker",
    "focuspunch",
]
TAKING = [
    "batonpass",
    "disable",
    "encore",
    "explosion",
    "healingwish",
    "imprison",
    "lunardance",
    "partingshot",
    "revivalblessing",
    "shedtail",
    "spite",
    "taunt",
    "teleport",
    "torment",
    "uturn",
    "voltswitch",
    "block",
    "meanlook",
    "spiderweb",
    "yawn",
    "perishsong",
    "trick",
    "skillswap",
    "roleplay",
    "rest",
    "conversion",
    "conversion2",
    "camouflage",
    "reflecttype",
    "soak",
    "substitute",
    "struggle",
    "hiddenpower",
    "return",
    "frustration",
]
ABILITIES = {"dancer", "illusion", "imposter", "magicbounce", "arenatrap", "shadowtag", "magnetpull", "gorillatactics"}
ITEMS = [
    "Choice Band",
    "Choice Scarf",
    "Leppa Berry",
    "Power Herb",
    "Mental Herb",
    "Normalium Z",
    "Fightinium Z",
    "Leftovers",
]
ITEMS_OF_GEN = {2: ["Leftovers"], 3: ["Choice Band", "Leppa Berry", "Leftovers"]}
# One in which as little as possible is banned.
FORMATS = {gen: f"gen{gen}{'ubers' if gen < 4 else 'anythinggoes'}" for gen in range(1, 10)}
FORMATS[5] = "gen5ubers"


def odd_teams(simulator: Simulator, inquiry: Inquiry, gen: int, battle_format: str, number: int) -> list[str]:
    """Packed teams that Showdown's validator finds legal in the format."""
    chance = random.Random(battle_format)
    members = _members(simulator, gen)
    wanted = [move for move in CALLING + LOCKING if any(move in found["moves"] for found in members.values())]
    teams: list[str] = []
    while len(teams) < number:
        sets: dict[str, str] = {}
        while len(sets) < 6:
            # Rare moves are as frequent as common ones.
            move = chance.choice(wanted)
            species = chance.choice([name for name, found in members.items() if move in found["moves"]])
            text = _set(chance, gen, move, members[species])
            if species not in sets and not inquiry.team(battle_format, text)["problems"]:
                sets[species] = text
        team = inquiry.team(battle_format, "\n\n".join(sets.values()))
        if not team["problems"]:
            teams.append(team["packed"])
    return teams


def _members(simulator: Simulator, gen: int) -> dict[str, dict[str, Any]]:
    """Pokémon that learn any of the moves or have any of the abilities, with those moves alone."""
    command = [str(simulator.node.executable), str(HELPERS / "learnsets.js"), str(simulator.folder), str(gen)]
    known = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    members = {}
    for species, found in known.items():
        odd = {move for move in found["moves"] if move in CALLING + LOCKING}
        if odd or ABILITIES & {*map(_id, found["abilities"])}:
            members[species] = {**found, "moves": sorted(odd | {move for move in found["moves"] if move in TAKING})}
    return members


def _set(chance: random.Random, gen: int, move: str, member: dict[str, Any]) -> str:
    others = [other for other in member["moves"] if other != move]
    moves = [move, *chance.sample(others, min(chance.randrange(4), len(others)))]
    item = f" @ {chance.choice(ITEMS_OF_GEN.get(gen, ITEMS))}" if gen > 1 and chance.random() < 0.7 else ""
    lines = [member["name"] + item]
    if gen > 2:
        odd = [name for name in member["abilities"] if _id(name) in ABILITIES]
        lines += [f"Ability: {chance.choice(odd or member['abilities'])}", "EVs: 1 HP"]
    return "\n".join([*lines, *(f"- {name}" for name in moves)])


def _id(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()
