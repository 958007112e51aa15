"""Inputs on their way to Dask: their refs become numbers, and what is at hand goes along."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from headwater.engine.events import NO_REF
from headwater.engine.inputs import Each, Flat, Gathered, Input, Item, Results, Value, Whole
from headwater.executors.inline import Stored


@dataclass(frozen=True)
class Held:
    """A small result that came here with its state, in the place of a future."""

    value: Any


def held(ref: Any) -> Any:
    return ref if ref is NO_REF or isinstance(ref, Stored) else Held(ref)


def mapped_refs(given: Input, change: Callable[[Any], Input]) -> Input:
    """Return an input in which each whole result is what *change* makes of its ref."""
    match given:
        case Whole(ref):
            return change(ref)
        case Each(source):
            return Each(mapped_refs(source, change))
        case Item(source, index):
            return Item(mapped_refs(source, change), index)
        case Gathered(parts):
            return Gathered(tuple(mapped_refs(part, change) for part in parts))
        case Results(refs):
            return Gathered(tuple(change(ref) for ref in refs))
        case Flat(source):
            return Flat(mapped_refs(source, change))
        case _:
            return given


def numbered(given: Input, refs: dict[Any, int]) -> Input:
    """Return an input whose refs are numbers, and collect what they stand for."""
    return mapped_refs(
        given, lambda ref: Value(ref.value) if isinstance(ref, Held) else Whole(refs.setdefault(ref, len(refs)))
    )
