from __future__ import annotations

from collections import Counter
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from pokeladder.runs.schedule import round_robin
from pokeladder.seeds import showdown_seed

NAMES = st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=7, unique=True)
TEAMS = st.lists(st.text(min_size=1, max_size=8), max_size=5, unique=True)
BATTLES = st.integers(1, 12)
SEEDS = st.integers(-(2**70), 2**70)


@given(NAMES, BATTLES, TEAMS, SEEDS)
def test_every_pairing_has_its_battles(names: list[str], battles: int, teams: list[str], seed: int) -> None:
    games = round_robin(names, battles, teams, seed)
    met = Counter(frozenset((game.p1, game.p2)) for game in games)
    assert met == {frozenset(pair): battles for pair in combinations(names, 2)}
    assert [game.index for game in games] == list(range(len(games)))


@given(NAMES, BATTLES, TEAMS, SEEDS)
def test_pairs_are_mirrored(names: list[str], battles: int, teams: list[str], seed: int) -> None:
    games = round_robin(names, battles, teams, seed)
    pairs: dict[int, list] = {}
    for game in games:
        if game.pair is not None:
            pairs.setdefault(game.pair, []).append(game)
    for first, second in pairs.values():
        assert (first.p1, first.p2) == (second.p2, second.p1)
        assert (first.p1_team, first.p2_team, first.seed) == (second.p1_team, second.p2_team, second.seed)
    alone = [game for game in games if game.pair is None]
    assert len(alone) == (battles % 2) * len(list(combinations(names, 2)))
    seeds = Counter(game.seed for game in games)
    assert set(seeds.values()) <= {1, 2}


@given(NAMES, BATTLES, TEAMS, SEEDS, st.randoms())
def test_order_of_arguments_and_other_agents_change_nothing(names, battles, teams, seed, random) -> None:
    def content(games, among):
        return {
            (game.p1, game.p2, game.p1_team, game.p2_team, game.seed) for game in games if {game.p1, game.p2} <= among
        }

    games = round_robin(names, battles, teams, seed)
    shuffled = random.sample(names, len(names))
    assert round_robin(shuffled, battles, teams, seed) == games
    fewer = set(names[:-1])
    if len(fewer) >= 2:
        assert content(round_robin(sorted(fewer), battles, teams, seed), fewer) == content(games, fewer)


@given(NAMES, BATTLES, SEEDS)
def test_another_seed_makes_other_battles(names: list[str], battles: int, seed: int) -> None:
    seeds = {game.seed for game in round_robin(names, battles, [], seed)}
    assert seeds.isdisjoint(game.seed for game in round_robin(names, battles, [], seed + 1))


def test_all_teams_are_used() -> None:
    teams = [f"team{number}" for number in range(20)]
    games = round_robin(["a", "b"], 400, teams, 0)
    assert {game.p1_team for game in games} == {game.p2_team for game in games} == set(teams)
    assert 60 < sum(game.p1 == "a" for game in games[::2]) < 140, "who is p1 first is drawn"


def test_the_schedule_of_a_seed_never_changes() -> None:
    # Worked out from SHA-256 of "7\na\nb\n0\n<purpose>" by hand: a stored seed must mean the same battles for ever.
    game = round_robin(["b", "a"], 1, ["x", "y", "z"], 7)[0]
    assert (game.p1, game.p2, game.p1_team, game.p2_team) == ("a", "b", "y", "z")
    assert game.seed == "gen5,dda577d95f8da59e"


@given(st.integers(0, 2**200))
def test_seeds_have_the_form_that_showdown_reads(number: int) -> None:
    kind, digits = showdown_seed(number).split(",")
    assert kind == "gen5"
    assert len(digits) == 16
    assert int(digits, 16) == number % 2**64
