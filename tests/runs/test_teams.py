from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from poke_env.teambuilder import ConstantTeambuilder

from pokeladder.errors import TeamError
from pokeladder.runs.teams import DEFAULT_TEAM_SET, built_in_folder, load_teams, team_files
from pokeladder.simulator.process import Inquiry

TAUROS = """Tauros
- Body Slam
- Hyper Beam
- Blizzard
- Earthquake
"""
# Tauros learns no Psychic, and Mewtwo is not for OU.
ILLEGAL = TAUROS.replace("Blizzard", "Psychic")
BANNED = "Mewtwo\n- Psychic\n- Amnesia\n- Recover\n- Thunder Wave\n"


def write_team(folder: Path, name: str, text: str, format_id: str = "gen1ou") -> Path:
    path = folder / format_id / f"{name}.{format_id}_team"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_built_in_teams_are_legal_and_varied(inquiry: Inquiry) -> None:
    teams = load_teams(DEFAULT_TEAM_SET, "gen1ou", inquiry)
    assert len(teams) >= 16
    assert all(len(team.species) == 6 for team in teams)
    assert len({team.packed for team in teams}) == len(teams)
    assert max(Counter(frozenset(team.species) for team in teams).values()) <= 3
    assert len({species for team in teams for species in team.species}) >= 18
    assert len({team.species[0] for team in teams}) >= 6, "leads"


def test_poke_env_reads_built_in_teams_as_showdown_does(inquiry: Inquiry) -> None:
    for path in team_files(DEFAULT_TEAM_SET, "gen1ou"):
        shown = inquiry.team("gen1ou", path.read_text())["species"]
        parsed = ConstantTeambuilder(path.read_text()).team
        assert [pokemon.species or pokemon.nickname for pokemon in parsed] == shown
        assert all(len(pokemon.moves) == 4 for pokemon in parsed)


def test_a_path_of_a_set_of_a_folder_and_of_a_file(inquiry: Inquiry, tmp_path: Path) -> None:
    path = write_team(tmp_path / "mine", "solo", TAUROS)
    for team_set in (tmp_path / "mine", tmp_path / "mine" / "gen1ou", path):
        (team,) = load_teams(str(team_set), "gen1ou", inquiry)
        assert team.species == ("Tauros",)
        assert team.name.endswith("/solo")


def test_packed_teams_are_read_too(inquiry: Inquiry, tmp_path: Path) -> None:
    (team,) = load_teams(str(write_team(tmp_path, "solo", TAUROS)), "gen1ou", inquiry)
    (again,) = load_teams(str(write_team(tmp_path, "packed", team.packed)), "gen1ou", inquiry)
    assert again.packed == team.packed


def test_sets_of_metamons_cache(inquiry: Inquiry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_team(tmp_path / "teams" / "competitive", "team_01", TAUROS)
    with pytest.raises(TeamError, match=r"no team set competitive \(METAMON_CACHE_DIR is not set\): use standard"):
        load_teams("competitive", "gen1ou", inquiry)
    monkeypatch.setenv("METAMON_CACHE_DIR", str(tmp_path))
    (team,) = load_teams("competitive", "gen1ou", inquiry)
    assert team.name == "competitive/team_01"


def test_every_illegal_team_is_named_with_showdowns_reasons(inquiry: Inquiry, tmp_path: Path) -> None:
    write_team(tmp_path, "fine", TAUROS)
    write_team(tmp_path, "surfing", ILLEGAL)
    write_team(tmp_path, "banned", BANNED)
    write_team(tmp_path, "empty", "")
    write_team(tmp_path, "garbage", "\x00\x01 not a team |||")
    (tmp_path / "gen1ou" / "binary.gen1ou_team").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TeamError) as raised:
        load_teams(str(tmp_path), "gen1ou", inquiry)
    message = str(raised.value)
    assert "5 teams are not legal in gen1ou" in message
    assert "surfing.gen1ou_team: Tauros can't learn Psychic" in message
    assert "Mewtwo is tagged Uber" in message or "Mewtwo is banned" in message
    assert "binary.gen1ou_team: cannot be read" in message
    assert "fine.gen1ou_team" not in message


def test_files_that_are_no_single_team(inquiry: Inquiry, tmp_path: Path) -> None:
    head = "=== [gen1ou] {} ===\n\n"
    write_team(tmp_path, "backup", "".join(f"{head.format(name)}{TAUROS}\n" for name in ("one", "folder/two")))
    write_team(tmp_path, "joined", f"{TAUROS}\n{head.format('two')}{TAUROS}\n")
    write_team(tmp_path, "large", TAUROS + " " * (1 << 20))
    os.mkfifo(tmp_path / "gen1ou" / "pipe.gen1ou_team")
    with pytest.raises(TeamError) as raised:
        load_teams(str(tmp_path), "gen1ou", inquiry)
    told = [line.partition(".gen1ou_team: ")[2] for line in str(raised.value).splitlines()[1:]]
    assert told == [
        "it is a backup of 2 teams: write each to a file of its own",
        "it is a backup of 2 teams: write each to a file of its own",
        "cannot be read: it is too large for a team: more than 1,048,576 bytes",
        "cannot be read: it is not a regular file",
    ]


def test_a_set_without_teams_of_the_format(inquiry: Inquiry, tmp_path: Path) -> None:
    write_team(tmp_path / "mine", "solo", TAUROS)
    with pytest.raises(TeamError, match=r"has no gen2ou team: it needs files named gen2ou/\*\.gen2ou_team"):
        load_teams(str(tmp_path / "mine"), "gen2ou", inquiry)
    with pytest.raises(TeamError, match="has no gen9ou team"):
        load_teams(DEFAULT_TEAM_SET, "gen9ou", inquiry)


def test_the_built_in_folder_is_inside_the_package() -> None:
    assert (built_in_folder() / DEFAULT_TEAM_SET / "gen1ou").is_dir()
