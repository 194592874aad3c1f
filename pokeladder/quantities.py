"""Checks of numbers that users give."""

from __future__ import annotations

import math

from pokeladder.errors import UsageError


def checked(
    what: str, value: float, *, above: float = -math.inf, least: float = -math.inf, below: float = math.inf
) -> float:
    """The number, if it is finite and within the bounds.

    Args:
        what: name of the number, for the message.
        above, below: exclusive bounds.
        least: inclusive lower bound.

    Raises:
        UsageError: the number is not finite or out of bounds.
    """
    if math.isfinite(value) and above < value < below and value >= least:
        return value
    bounds = [
        f"{word} {bound:g}"
        for word, bound in (("above", above), ("at least", least), ("below", below))
        if math.isfinite(bound)
    ]
    raise UsageError(f"{what} is {value}: give a finite number{' ' if bounds else ''}{' and '.join(bounds)}")
