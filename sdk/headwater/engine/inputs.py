"""The inputs of a task run as values that say where each comes from; results stay where they are until it runs.

A *ref* is the executor's handle of a result. `resolve` turns an input into what the task's function gets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

# The length of a result that cannot be mapped over.
UNMAPPABLE = -1

# How long a result is: None when nobody asked, a number, or the lengths of its items.
Length = int | tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Value:
    """A value that is known already: a parameter, the exception of a failed task, None of a skipped one."""

    value: Any

    def __reduce__(self) -> Any:
        return Value, (self.value,)


@dataclass(frozen=True, slots=True)
class Whole:
    """A result."""

    ref: Any

    # These three travel with each child of a wide map; without it they are pickled field by field, by name.
    def __reduce__(self) -> Any:
        return Whole, (self.ref,)


@dataclass(frozen=True, slots=True)
class Item:
    """One item of an input."""

    source: Input
    index: int

    def __reduce__(self) -> Any:
        return Item, (self.source, self.index)


@dataclass(frozen=True, slots=True)
class Each:
    """The item of an input that a child of a mapped task reads, by its own index."""

    source: Input

    def __reduce__(self) -> Any:
        return Each, (self.source,)


@dataclass(frozen=True, slots=True)
class Gathered:
    """The results of a mapped task's children, as a list."""

    parts: tuple[Input, ...]


@dataclass(frozen=True, slots=True)
class Results:
    """Results as a list: Gathered where each part is Whole, as there may be a million."""

    refs: Sequence[Any]

    def __reduce__(self) -> Any:
        return Results, (self.refs,)


@dataclass(frozen=True, slots=True)
class Flat:
    """An input's items' items, as a list."""

    source: Input


Input = Value | Whole | Item | Each | Gathered | Results | Flat


def resolve(given: Input, map_index: int, read: Callable[[Any], Any] = lambda ref: ref) -> Any:
    """Return the value of an input for the task run with *map_index*; *read* turns a ref into its value."""
    match given:
        case Value(value):
            return value
        case Whole(ref):
            return read(ref)
        case Each(source):
            return resolve(source, map_index, read)[map_index]
        case Item(source, index):
            return resolve(source, map_index, read)[index]
        case Gathered(parts):
            return [resolve(part, map_index, read) for part in parts]
        case Results(refs):
            return [read(ref) for ref in refs]
        case Flat(source):
            return [item for items in resolve(source, map_index, read) for item in items]


def measure(value: Any, depth: int) -> Length:
    """Return how long a result is, as far as *depth* asks: 0 nothing, 1 its length, 2 the lengths of its items."""
    if depth == 0:
        return None
    length = _length(value)
    if depth == 1 or length == UNMAPPABLE:
        return length
    return tuple(_length(item) for item in _items(value, length))


def _length(value: Any) -> int:
    # A text can be indexed too, but nobody means its characters; a dict is asked by its keys, not by 0, 1, 2.
    if isinstance(value, str | bytes | dict | type) or not hasattr(value, "__getitem__"):
        return UNMAPPABLE
    try:
        return len(value)
    except Exception:
        return UNMAPPABLE


def _items(value: Sequence[Any], length: int) -> Iterable[Any]:
    return (value[i] for i in range(length))


def outer(length: Length) -> int:
    """Return how many items there are."""
    return len(length) if isinstance(length, tuple) else UNMAPPABLE if length is None else length


def locate(lengths: Sequence[int], index: int) -> tuple[int, int]:
    """Return in which item the index-th inner item is, and where in it."""
    for number, length in enumerate(lengths):
        if index < length:
            return number, index
        index -= length
    raise IndexError(index)
