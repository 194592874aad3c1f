"""Checks of numbers that users give."""

from __future__ import annotations

import math

from pokeladder.errors import UsageError

# Beyond it sums of ratings and times lose their digits, and end as nan.
LARGEST = 1e9
TOO_LARGE = f"use at most {LARGEST:,.0f}"


def checked(
    what: str, value: float, *, above: float = -math.inf, least: float = -math.inf, below: float = math.inf
) -> float:
    """The number, if it is finite, at most :data:`LARGEST` in size, and within the bounds.

    Args:
        what: name of the number, for the message.
        above, below: exclusive bounds.
        least: inclusive lower bound.

    Raises:
        UsageError: the number is not finite, too large, or out of bounds.
    """
    if abs(value) <= LARGEST and above < value < below and value >= least:
        return value
    if LARGEST < abs(value) < math.inf:
        raise UsageError(f"{what} is {value}: {TOO_LARGE}")
    bounds = [
        f"{word} {bound:g}"
        for word, bound in (("above", above), ("at least", least), ("below", below))
        if math.isfinite(bound)
    ]
    raise UsageError(f"{what} is {value}: give a finite number{' ' if bounds else ''}{' and '.join(bounds)}")
