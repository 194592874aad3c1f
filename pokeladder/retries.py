"""How often what has failed is tried again."""

from __future__ import annotations

from collections import Counter

# Void attempts at one game; those that another battle's agent ended do not count.
ATTEMPTS = 5
# Failures of one agent's process in a row, with no battle finished between, after which it is not started again.
AGENT_FAILURES = 3
# Deaths in a row of processes that play for all agents, with no battle finished between, after which a run ends.
DEATHS = 5
# Choices of an agent for one request.
CHOICES = 3


class FailuresInARow:
    """Counts failures of something since its last success.

    Args:
        most: how many there may be.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._failures: Counter[str] = Counter()

    def add(self, name: str = "") -> bool:
        """Counts a failure; whether it must not be tried again."""
        self._failures[name] += 1
        return self._failures[name] >= self._most

    def reset(self, name: str = "") -> None:
        """It has succeeded."""
        del self._failures[name]
