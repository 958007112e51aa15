"""Marks on arguments that say how a task maps over them: `mapped(x)`, `unmapped(x)`, `flatten(x)`.

load.map(rows, unmapped(url))       one run per row, the same url for each
load(row=mapped(rows), url=url)     the same
load.map(flatten(lists_of_rows))    one run per row of all lists
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class Marker:
    """An argument with a mark. Marks may stand in each other: `unmapped(flatten(x))`."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"


class mapped(Marker):  # noqa: N801  # it is written like a function
    """Run the task once per item of this argument."""


class unmapped(Marker):  # noqa: N801
    """Hand this argument over whole, to every run of a mapped task."""


class flatten(Marker):  # noqa: N801
    """Take one level of lists away: `[[1, 2], [3]]` counts as `[1, 2, 3]`."""


@dataclass(frozen=True, slots=True)
class Argument:
    """What a call was given for an argument, its marks read."""

    value: Any
    mapped: bool
    flattened: bool


def read_argument(given: Any, who: str, mapped_unless_told: bool = False) -> Argument:
    """Read the marks of an argument; *who* is named when they contradict each other, with TypeError."""
    value, is_mapped, is_flattened = given, None, False
    while isinstance(value, Marker):
        if isinstance(value, flatten):
            if is_flattened:
                raise TypeError(f"{who} has flatten() in flatten(); it takes one level of lists away, write it once.")
            is_flattened = True
        else:
            wanted = isinstance(value, mapped)
            if is_mapped is not None and is_mapped != wanted:
                raise TypeError(f"{who} is marked mapped() and unmapped() at once; keep one of them.")
            is_mapped = wanted
        value = value.value
    return Argument(value, mapped_unless_told if is_mapped is None else is_mapped, is_flattened)


def check_mappable(value: Any, who: str) -> None:
    """Raise TypeError for a constant that has no items 0, 1, 2 and so on."""
    has_items = hasattr(value, "__getitem__") and hasattr(value, "__len__")
    if has_items and not isinstance(value, str | bytes | dict | type):
        return
    short = repr(value)
    short = short if len(short) <= 60 else short[:57] + "..."
    raise TypeError(
        f"{who} is to be mapped over {short}, which is no list; "
        "write unmapped(...) around what every run is to get whole, and list(...) around what has no order."
    )
