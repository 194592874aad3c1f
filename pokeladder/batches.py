"""Where agents that choose in batches import their base class from."""

from pokeladder.agents.batches import BatchPlayer, decision_seed

__all__ = ["BatchPlayer", "decision_seed"]
