"""Who meets whom, on which teams and seeds: a pure function of names, teams and one number."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import combinations

from pokeladder.records import Game
from pokeladder.seeds import showdown_seed


def round_robin(
    agents: Sequence[str], battles_per_matchup: int, teams: Sequence[str], seed: int, begin: int = 0
) -> list[Game]:
    """Every pair of agents meets ``battles_per_matchup`` times, in mirrored pairs.

    Each matchup draws its teams and seeds from its own names, so another agent in the tournament, or another order
    of the arguments, changes nothing for it. Matchups take turns, which keeps standings even while a run goes on.
    The last battle of an odd number has no mirror.

    Args:
        agents: names, all different.
        teams: team names to draw from; empty in formats with random teams.
        begin: how many draws of a matchup's teams and seeds to pass over (see :func:`draws`).
    """
    matchups = list(combinations(sorted(agents), 2))
    games: list[Game] = []
    for place in range(draws(agents, battles_per_matchup)):
        turn = begin + place
        alone = 2 * place + 1 == battles_per_matchup
        for number, (first, second) in enumerate(matchups):
            matchup = f"{first}\n{second}\n{turn}"
            if _draw(seed, matchup, "sides") % 2:
                first, second = second, first
            p1_team = teams[_draw(seed, matchup, "p1 team") % len(teams)] if teams else None
            p2_team = teams[_draw(seed, matchup, "p2 team") % len(teams)] if teams else None
            battle_seed = showdown_seed(_draw(seed, matchup, "battle"))
            pair = None if alone else place * len(matchups) + number
            games.append(Game(len(games), pair, first, second, p1_team, p2_team, battle_seed))
            if not alone:
                games.append(Game(len(games), pair, second, first, p1_team, p2_team, battle_seed))
    return games


def selfplay(agents: Sequence[str], num_battles: int, teams: Sequence[str], seed: int, begin: int = 0) -> list[Game]:
    """Battles of one agent against itself, or of two in mirrored pairs.

    Args:
        agents: one name, or two different ones.
        teams: team names to draw from; empty in formats with random teams.
        begin: how many draws of teams and seeds to pass over (see :func:`draws`).
    """
    if len(agents) == 2:
        return round_robin(agents, num_battles, teams, seed, begin)
    (agent,) = agents
    games = []
    for index in range(num_battles):
        matchup = f"{agent}\n{agent}\n{begin + index}"
        p1_team = teams[_draw(seed, matchup, "p1 team") % len(teams)] if teams else None
        p2_team = teams[_draw(seed, matchup, "p2 team") % len(teams)] if teams else None
        battle_seed = showdown_seed(_draw(seed, matchup, "battle"))
        games.append(Game(index, None, agent, agent, p1_team, p2_team, battle_seed))
    return games


def draws(agents: Sequence[str], battles: int) -> int:
    """How often a matchup draws teams and a seed: once a mirrored pair, or a battle of an agent against itself."""
    return battles if len(agents) == 1 else (battles + 1) // 2


def _draw(seed: int, matchup: str, purpose: str) -> int:
    digest = hashlib.sha256(f"{seed}\n{matchup}\n{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big")
