"""Finding team sets and having Showdown check every team."""

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
# What Showdown writes above each team of a backup.
BACKUP_HEAD = re.compile(r"^===.*===\s*$", re.MULTILINE)
# Showdown's longest names.
NAME_LENGTH = 18


@dataclass(frozen=True)
class Team:
    """A team that Showdown accepts.

    Attributes:
        name: ``<team set>/<file name without its ending>``.
        packed: the team in Showdown's packed form.
        species: its Pokémon in order, the lead first.
    """

    name: str
    packed: str
    species: tuple[str, ...]


class Validator(Protocol):
    """Answers what Showdown thinks of a team (see ``simulator.process.Inquiry.team``)."""

    def team(self, format_id: str, text: str) -> dict[str, Any]: ...


def built_in_folder() -> Path:
    return Path(__file__).parent / "team_sets"


def metamon_folder() -> Path | None:
    """``$METAMON_CACHE_DIR/teams`` if that is set."""
    cache = os.environ.get("METAMON_CACHE_DIR")
    return Path(cache) / "teams" if cache else None


def team_files(team_set: str, format_id: str) -> list[Path]:
    """The ``*.<format>_team`` files of a team set, in order of their names.

    Args:
        team_set: a built-in set, a set of metamon's cache, or a path: of a set (a folder that holds ``<format>/``),
            of a folder of team files, or of one file.

    Raises:
        TeamError: there is no such set, or it has no team of this format.
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
    """Every team of a set, each checked by Showdown.

    Raises:
        TeamError: the set cannot be found or read, or Showdown rejects a team; the message names each such file with
            Showdown's reasons.
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
        heads = BACKUP_HEAD.findall(text)
        if len(heads) > 1:
            rejected.append(f"{path}: it is a backup of {len(heads)} teams: give each a file of its own")
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
    """A team file's text.

    Raises:
        OSError, ValueError: it cannot be read, or cannot be a team.
    """
    if not path.is_file():
        raise ValueError("it is no regular file")
    if path.stat().st_size > LARGEST_TEAM:
        raise ValueError(f"it is too large for a team: more than {LARGEST_TEAM:,} bytes")
    return path.read_text(encoding="utf-8")


def with_distinct_names(packed: str) -> str:
    """A packed team with a number added to a name that another of its Pokémon has.

    The battle protocol tells Pokémon by their names alone, and poke-env takes two of one name for one.
    """
    taken: set[str] = set()
    sets = []
    for one in packed.split("]"):
        name, species, rest = one.split("|", 2)
        distinct = next(name for name in _names(name) if name.lower() not in taken)
        taken.add(distinct.lower())
        # A set without a species is of the one that its name is.
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
    return f"{count} not legal in {format_id}: mend or remove\n  {shown}{more}"
