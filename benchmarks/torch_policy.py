"""An agent that chooses in batches: a network of 15 million weights, drawn from a seed.

``pokeladder selfplay torch_policy:TorchPolicy`` in this folder, with ``pip install 'pokeladder[torch]'``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from poke_env.battle import AbstractBattle, Move, Pokemon, PokemonType, Status
from poke_env.player.battle_order import BattleOrder
from torch import nn

from pokeladder.batches import BatchPlayer, decision_seed

TYPES, STATUSES = {kind: i for i, kind in enumerate(PokemonType, start=1)}, {kind: i for i, kind in enumerate(Status)}
# A token is a Pokémon or one of the active one's moves: numbers, and the rows of the embeddings of its two words.
NUMBERS, WORDS = 16, 4096
PARTY, MOVES = 6, 4
TOKENS = 2 * PARTY + MOVES


class Network(nn.Module):
    """Scores of moves and switches from tokens.

    Shapes, for a batch of n: numbers (n, TOKENS, NUMBERS), words (n, TOKENS), result (n, MOVES + PARTY).
    """

    def __init__(self, width: int = 1536, layers: int = 6) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, 32)
        self.begin = nn.Linear(TOKENS * (32 + NUMBERS), width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.scores = nn.Linear(width, MOVES + PARTY)

    def forward(self, numbers: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        known = self.begin(torch.cat([self.words(words), numbers], -1).flatten(1))
        for layer in self.layers:
            known = known + layer(torch.relu(known))
        return self.scores(known)


class TorchPolicy(BatchPlayer):
    """Draws its choices from what the network makes of a position.

    Args:
        batch_size: 1 to have it asked for one position at a time.
    """

    def __init__(self, batch_size: int | None = None, seed: int = 0, **settings: object) -> None:
        super().__init__(**settings)
        self.batch_size = batch_size
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        self.network = Network().eval()

    @torch.inference_mode()
    def choose_batch(self, battles: Sequence[AbstractBattle]) -> list[BattleOrder]:
        numbers = np.zeros((len(battles), TOKENS, NUMBERS), np.float32)
        words = np.zeros((len(battles), TOKENS), np.int64)
        for row, battle in enumerate(battles):
            fill(battle, numbers[row], words[row])
        scores = self.network(torch.from_numpy(numbers), torch.from_numpy(words)).numpy()
        return [self.choice(battle, row) for battle, row in zip(battles, scores, strict=True)]

    def choice(self, battle: AbstractBattle, scores: np.ndarray) -> BattleOrder:
        moves = list(battle.active_pokemon.moves.values()) if battle.active_pokemon else []
        team = list(battle.team.values())
        legal = {MOVES + team.index(pokemon): pokemon for pokemon in battle.available_switches}
        legal |= {moves.index(move): move for move in battle.available_moves if move in moves[:MOVES]}
        if not legal:
            return self.choose_random_move(battle)
        # Gumbel's trick: the highest of these is drawn with the probability that the scores give it.
        drawn = np.random.default_rng(decision_seed(battle)).gumbel(size=len(scores)) + scores
        return self.create_order(legal[max(legal, key=drawn.__getitem__)])


def fill(battle: AbstractBattle, numbers: np.ndarray, words: np.ndarray) -> None:
    """Writes a position's tokens."""
    for begin, team in ((0, battle.team), (PARTY, battle.opponent_team)):
        for place, pokemon in enumerate(list(team.values())[:PARTY], start=begin):
            numbers[place] = seen(pokemon)
            words[place] = word(pokemon.species)
    if battle.active_pokemon:
        for place, move in enumerate(list(battle.active_pokemon.moves.values())[:MOVES], start=2 * PARTY):
            numbers[place, :5] = (move.base_power / 100, move.accuracy, move.priority, move.current_pp / 16, kind(move))
            words[place] = word(move.id)


def seen(pokemon: Pokemon) -> tuple[float, ...]:
    boosts = pokemon.boosts
    return (
        1.0,
        pokemon.current_hp_fraction,
        float(pokemon.active),
        float(pokemon.fainted),
        STATUSES[pokemon.status] / 7 if pokemon.status else -1.0,
        TYPES[pokemon.type_1] / 20,
        TYPES[pokemon.type_2] / 20 if pokemon.type_2 else 0.0,
        *(boosts[name] / 6 for name in ("atk", "def", "spa", "spd", "spe", "accuracy", "evasion")),
        pokemon.base_stats["spe"] / 100,
        pokemon.level / 100,
    )


def kind(move: Move) -> float:
    return TYPES[move.type] / 20


def word(text: str) -> int:
    number = 0
    for character in text:
        number = (number * 31 + ord(character)) % (WORDS - 1)
    return number + 1
