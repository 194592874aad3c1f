"""Finds team sets, and checks every team with Showdown's validator."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from pokeladder.errors import TeamError

DEFAULT_TEAM_SET = "standard"
LARGEST_TEAM = 1 << 20
# The heading of each team in a backup of Showdown's teambuilder.
BACKUP_HEAD = re.compile(r"^===.*===\s*$", re.MULTILINE)
# Length of Showdown's longest nicknames.
NAME_LENGTH = 18


@dataclass(frozen=True)
class Team:
    """A team that Showdown accepts.

    Attributes:
        name: ``<team set>/<file name without suffix>``.
        packed: the team in Showdown's packed form.
        species: species of its Pokémon in order, the lead first.
    """

    name: str
    packed: str
    species: tuple[str, ...]


class Validator(Protocol):
    """Checks a team (see ``simulator.process.Inquiry.team``)."""

    def team(self, format_id: str, text: str) -> dict[str, Any]: ...


def built_in_folder() -> Path:
    return Path(__file__).parent / "team_sets"


def metamon_folder() -> Path | None:
    """``$METAMON_CACHE_DIR/teams``; None if the variable is not set."""
    cache = os.environ.get("METAMON_CACHE_DIR")
    return Path(cache) / "teams" if cache else None


def team_files(team_set: str, format_id: str) -> list[Path]:
    """The files ``*.<format>_team`` of a team set, sorted by name.

    Args:
        team_set: a built-in set, a set in metamon's cache, or the path of a set (a folder with ``<format>/``), of a
            folder of team files, or of one file.

    Raises:
        TeamError: there is no such set, or it has no team of the format.
    """
    searched = [built_in_folder() / team_set]
    metamon = metamon_folder()
    if metamon is not None:
        searched.append(metamon / team_set)
    searched.append(Path(team_set))
    found = [place for place in searched if place.exists()]
    if not found:
        sets = sorted(folder.name for folder in built_in_folder().iterdir() if folder.is_dir())
        hint = "" if metamon else " (METAMON_CACHE_DIR is not set)"
        raise TeamError(f"there is no team set {team_set}{hint}: use {', '.join(sets)}, or the path of a folder")
    pattern = f"*.{format_id}_team"
    for place in found:
        if place.is_file():
            return [place]
        teams = sorted((place / format_id).glob(pattern)) or sorted(place.glob(pattern))
        if teams:
            return teams
    raise TeamError(
        f"team set {team_set} has no {format_id} team: it needs files named {format_id}/{pattern} in {found[0]}; "
        "name another with --team-set"
    )


def load_teams(team_set: str, format_id: str, validator: Validator) -> list[Team]:
    """The teams of a set, each checked by Showdown.

    Raises:
        TeamError: the set cannot be found, or a team cannot be read or is rejected; the message lists the files with
            reasons.
    """
    teams: list[Team] = []
    rejected: list[str] = []
    set_name = Path(team_set).stem
    for path in team_files(team_set, format_id):
        try:
            text = _text(path)
        except (OSError, ValueError) as error:
            rejected.append(f"{path}: cannot be read: {error}")
            continue
        first, *headed = BACKUP_HEAD.split(text)
        number = len(headed) + bool(first.strip())
        if number > 1:
            rejected.append(f"{path}: it is a backup of {number} teams: write each to a file of its own")
            continue
        checked = validator.team(format_id, text)
        if checked["problems"]:
            rejected.append(f"{path}: {' '.join(checked['problems'])}")
        else:
            teams.append(Team(f"{set_name}/{path.stem}", checked["packed"], tuple(checked["species"])))
    if rejected:
        raise TeamError(_rejection(rejected, format_id))
    return teams


def _text(path: Path) -> str:
    """The text of a team file.

    Raises:
        OSError, ValueError: it cannot be read, or is too large for a team.
    """
    if not path.is_file():
        raise ValueError("it is not a regular file")
    if path.stat().st_size > LARGEST_TEAM:
        raise ValueError(f"it is too large for a team: more than {LARGEST_TEAM:,} bytes")
    return path.read_text(encoding="utf-8")


def with_distinct_names(packed: str) -> str:
    """A packed team in which nicknames that occur twice have a number appended.

    The battle protocol identifies Pokémon by nickname only, so that poke-env confuses two with one nickname.
    """
    taken: set[str] = set()
    sets = []
    for one in packed.split("]"):
        name, species, rest = one.split("|", 2)
        distinct = next(name for name in _names(name) if name.lower() not in taken)
        taken.add(distinct.lower())
        # The nickname of a set without a species is its species.
        sets.append(f"{distinct}|{species or (name if distinct != name else '')}|{rest}")
    return "]".join(sets)


def _names(name: str) -> Iterator[str]:
    yield name
    for number in count(2):
        ending = f" {number}"
        yield f"{name[: NAME_LENGTH - len(ending)]}{ending}"


def _rejection(rejected: Sequence[str], format_id: str) -> str:
    shown = "\n  ".join(rejected[:10])
    more = f"\n  and {len(rejected) - 10} more" if len(rejected) > 10 else ""
    count = "a team is" if len(rejected) == 1 else f"{len(rejected)} teams are"
    return f"{count} not legal in {format_id}: correct or remove\n  {shown}{more}"
