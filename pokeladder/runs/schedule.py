"""The schedule of a run: agents, teams and seeds of all games, a pure function of names, teams and a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import combinations

from pokeladder.records import Game
from pokeladder.seeds import showdown_seed


def round_robin(
    agents: Sequence[str], battles_per_matchup: int, teams: Sequence[str], seed: int, begin: int = 0
) -> list[Game]:
    """A round-robin in mirrored pairs, with ``battles_per_matchup`` games of each two agents.

    Teams and seeds of a matchup depend on its names only, not on other agents or the order of arguments. Matchups
    alternate, so that agents have about equally many games at any time. The last game of an odd number has no mirror.

    Args:
        agents: names of the agents, all different.
        teams: names of the teams to draw from; empty in formats with random teams.
        begin: number of draws of each matchup to skip (see :func:`draws`).
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
    """Games of one agent against itself, or of two agents in mirrored pairs.

    Args:
        agents: one name, or two different ones.
        teams: names of the teams to draw from; empty in formats with random teams.
        begin: number of draws to skip (see :func:`draws`).
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
    """Number of draws of teams and seeds of a matchup: one a mirrored pair, or one a game of self-play."""
    return battles if len(agents) == 1 else (battles + 1) // 2


def _draw(seed: int, matchup: str, purpose: str) -> int:
    digest = hashlib.sha256(f"{seed}\n{matchup}\n{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big")
