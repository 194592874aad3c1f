"""Numbers as users give them."""

from __future__ import annotations

import math

from pokeladder.errors import UsageError


def checked(
    what: str, value: float, *, above: float = -math.inf, least: float = -math.inf, below: float = math.inf
) -> float:
    """The number, if it is finite and within these bounds.

    Args:
        what: the number's name, for the message.
        above, below: bounds that it does not reach.
        least: a bound that it may reach.

    Raises:
        UsageError: it is not.
    """
    if math.isfinite(value) and above < value < below and value >= least:
        return value
    bounds = [
        f"{word} {bound:g}"
        for word, bound in (("above", above), ("at least", least), ("below", below))
        if math.isfinite(bound)
    ]
    raise UsageError(f"{what} is {value}: give a finite number{' ' if bounds else ''}{' and '.join(bounds)}")
