"""Types of options that are numbers."""

from __future__ import annotations

import math
from typing import Any

import click

from pokeladder.quantities import LARGEST, TOO_LARGE


class Finite(click.FloatRange):
    """A number of at most ``LARGEST`` in size, optionally in a range; click's ranges contain ``nan`` and ``inf``."""

    def __init__(self, *bounds: Any, **settings: Any) -> None:
        super().__init__(*bounds, **settings)
        if self.min is None and self.max is None:
            self.name = "float"

    def _describe_range(self) -> str:
        # Without bounds click would print None as one.
        return "" if self.min is None and self.max is None else super()._describe_range()

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        number: float = super().convert(value, parameter, context)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", parameter, context)
        if abs(number) > LARGEST:
            self.fail(f"{value} is too large: {TOO_LARGE}.", parameter, context)
        return number
