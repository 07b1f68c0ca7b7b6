"""Sweeps: the variants of a grid and of the settings that it is filled with.

A sweep names settings and the values that each takes, such as `{"seed": [0, 1], "examples": [0, 1, 2]}`; its variants
are all combinations. Two of the settings change the grid: `order` moves that many examples from above to the end, and
`examples` then keeps so many of them from above. All others are arguments of `fill`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.grid_files import GridCase, setting
from visualcloze_nb.errors import GridError, UsageError, shorten
from visualcloze_nb.settings import RECOMMENDABLE

OF_THE_GRID = ("examples", "order")
SWEPT = ("seed", *OF_THE_GRID, *RECOMMENDABLE)


@dataclass(frozen=True)
class Variant:
    """One combination of a sweep's values.

    Attributes:
        values: of the settings that the sweep names.
        examples, order: which of a grid's examples are kept, and in which order.
        settings: arguments of `fill`.
    """

    values: Mapping[str, Any]
    examples: int
    order: int
    settings: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The values as text, such as `seed-0_examples-2`; "" without any."""
        return "_".join(f"{name}-{_plain(value)}" for name, value in self.values.items())

    def of(self, grid: Grid) -> Grid:
        """The grid with the examples of this variant.

        Raises:
            GridError: if the grid has not so many examples.
        """
        own = grid.examples
        if not 0 <= self.examples <= len(own):
            raise GridError(f"examples is {self.examples}, and the grid has {len(own)}: sweep over 0 to {len(own)}")
        return grid.with_examples([*own[self.order :], *own[: self.order]][: self.examples])


def parse_sweep(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Read a sweep from the command line's `NAME=VALUE,VALUE…`.

    Args:
        texts: one for each setting.

    Raises:
        UsageError: if a setting does not exist or is named twice, or a value is none.
    """
    sweep: dict[str, list[Any]] = {}
    for text in texts:
        name, sign, values = text.partition("=")
        if name not in SWEPT or not sign:
            raise UsageError(f"there is no sweep {shorten(repr(text))}: give NAME=VALUE,… of {', '.join(SWEPT)}")
        if name in sweep:
            raise UsageError(f"{name} is swept twice: give all its values at once, such as {name}=0,1")
        sweep[name] = list(dict.fromkeys(setting(name, value) for value in values.split(",")))
        if name in OF_THE_GRID and min(sweep[name]) < 0:
            raise UsageError(f"{name} is {min(sweep[name])}: give whole numbers from 0")
    return sweep


def variants(case: GridCase, sweep: Mapping[str, Sequence[Any]]) -> Iterator[Variant]:
    """Yield the variants of a grid, in the order in which the sweep names its settings, the last one fastest.

    Args:
        case: a grid from files, and the settings that it brings.
        sweep: values by setting. `order` counts from 0 to the number of the grid's examples less 1: what would repeat
            another variant is left out, a larger order and any but 0 where no example is kept.
    """
    own = len(case.grid.examples)
    for values in product(*sweep.values()):
        named = dict(zip(sweep, values, strict=True))
        examples, order = named.get("examples", own), named.get("order", 0)
        if order >= max(own if examples else 1, 1):
            continue
        given = {name: value for name, value in named.items() if name not in OF_THE_GRID}
        brought = {n: v for n, v in case.settings.items() if "size" not in given or n not in ("width", "height")}
        yield Variant(named, examples, order, {"seed": 0, **brought, **given})


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
