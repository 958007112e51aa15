"""A result as it is kept on a worker and travels between them.

Dask serializes a list, tuple, set or dict item by item, each with a header of its own: 100,000 numbers take 2 s on
their way to another worker. In a box they travel as one pickle, which takes milliseconds; large buffers inside still go
as they are.
"""

from __future__ import annotations

from typing import Any

from dask.sizeof import sizeof

# What Dask takes apart; of subclasses it does not.
TAKEN_APART = (list, tuple, set, dict)


class Boxed:
    """A result that travels as one piece."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __reduce__(self) -> Any:
        return Boxed, (self.value,)


@sizeof.register(Boxed)  # type: ignore[untyped-decorator]  # dask has no types
def _size_of_boxed(box: Boxed) -> int:
    return int(sizeof(box.value))


def boxed(value: Any) -> Any:
    """Return what is kept in the place of a result."""
    return Boxed(value) if type(value) in TAKEN_APART else value


def unboxed(kept: Any) -> Any:
    """Return the result itself."""
    return kept.value if type(kept) is Boxed else kept
