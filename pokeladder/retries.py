"""How often failed work is tried again."""

from __future__ import annotations

from collections import Counter

# Attempts at one game that stayed void; an attempt that another battle's agent ended does not count.
ATTEMPTS = 5
# Consecutive failures of an agent's process, with no finished battle between, after which it is not started again.
AGENT_FAILURES = 3
# Consecutive deaths of processes that work for all agents, with no finished battle between, after which a run ends.
DEATHS = 5
# Choices that an agent is asked for at one request.
CHOICES = 3


class FailuresInARow:
    """Counts consecutive failures, by name.

    Args:
        most: number of failures after which no further try is made.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._failures: Counter[str] = Counter()

    def add(self, name: str = "") -> bool:
        """Counts a failure; returns whether no further try is allowed."""
        self._failures[name] += 1
        return self._failures[name] >= self._most

    def reset(self, name: str = "") -> None:
        """Forgets the failures, after a success."""
        del self._failures[name]
