"""Tasks inside lists, tuples, sets and dicts: collections that hold a task become tasks themselves.

    load([clean(a), clean(b), 3])      load gets the list, once both are there

What holds no task stays what it is, a constant. Nothing here recurses, so that depth has no limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from headwater.core.mapping import Marker
from headwater.core.task import RESERVED_ARGUMENTS, Task

if TYPE_CHECKING:
    from headwater.core.flow_build import FlowBuild

COLLECTIONS = (list, tuple, set, frozenset, dict)
LOOKED_INTO = (*COLLECTIONS, Marker)


class Constant(Task):
    """A value as a task: `Constant(5)`. A flow makes one where a constant is mapped over."""

    def __init__(self, value: Any, name: str = "Constant", **options: Any) -> None:
        super().__init__(name, **{"checkpoint": False, "auto_generated": True, **options})
        self.value = value

    def run(self) -> Any:
        return self.value


class _Collection(Task):
    """Gathers its arguments, "0", "1", and so on, into one value."""

    kind: Callable[[Iterable[Any]], Any] = list

    def __init__(self, name: str | None = None, **options: Any) -> None:
        super().__init__(name, **{"checkpoint": False, "auto_generated": True, **options})

    def bind(self, *items: Any, **arguments: Any) -> Any:
        named = sorted(set(arguments) - set(RESERVED_ARGUMENTS))
        if named:
            raise TypeError(f'Task "{self.name}" takes its items one after the other; {", ".join(named)} has a name.')
        return super().bind(**{str(number): item for number, item in enumerate(items)}, **arguments)

    def run(self, **items: Any) -> Any:
        return type(self).kind([items[key] for key in sorted(items, key=int)])


class List(_Collection):
    """Makes a list of results: `List()(a, b)`."""


class Tuple(_Collection):
    """Makes a tuple of results, or a named one."""

    kind = tuple

    def __init__(self, name: str | None = None, of: type | None = None, **options: Any) -> None:
        super().__init__(name or (of.__name__ if of else None), **options)
        self.of = of

    def run(self, **items: Any) -> Any:
        values = super().run(**items)
        return self.of(*values) if self.of else values


class Set(_Collection):
    """Makes a set of results."""

    kind = set


class FrozenSet(_Collection):
    """Makes a set of results that can stand in a set."""

    kind = frozenset


class Dict(Task):
    """Makes a dict of keys and values: `Dict()(keys=["a", "b"], values=[a, b])`."""

    def __init__(self, name: str | None = None, **options: Any) -> None:
        super().__init__(name, **{"checkpoint": False, "auto_generated": True, **options})

    def run(self, keys: list[Any], values: list[Any]) -> dict[Any, Any]:
        return dict(zip(keys, values, strict=True))


def as_task(value: Any, flow: FlowBuild) -> Task:
    """Return a task for a value: itself, one that gathers what it holds, or a Constant."""
    gathered = gather_tasks(value, flow)
    return gathered if isinstance(gathered, Task) else Constant(gathered)


def gather_tasks(value: Any, flow: FlowBuild) -> Any:
    """Return a value with each collection that holds a task made a task of the flow; a plain value stays as it is.

    Raises TypeError for a collection that holds a task and itself, and for marks inside collections.
    """
    if isinstance(value, Task) or not isinstance(value, COLLECTIONS):
        return value
    order = _holders_inside_out(value)
    made: dict[int, Task] = {}
    for holder in order:
        made[id(holder)] = _gathered(holder, made, flow)
    return made.get(id(value), value)


def _gathered(holder: Any, made: dict[int, Task], flow: FlowBuild) -> Task:
    def now(item: Any) -> Any:
        return made.get(id(item), item)

    if isinstance(holder, dict):
        keys, values = [now(key) for key in holder], [now(value) for value in holder.values()]
        return Dict().bind(keys=keys, values=values, flow=flow)
    items = [now(item) for item in holder]
    if isinstance(holder, list):
        return List().bind(*items, flow=flow)  # type: ignore[no-any-return]  # bind returns the task itself
    if isinstance(holder, tuple):
        return Tuple(of=type(holder) if hasattr(holder, "_fields") else None).bind(*items, flow=flow)  # type: ignore[no-any-return]
    # Sets have no order of their own; the tasks of a flow shall be the same every time.
    items.sort(key=lambda item: flow.place_of(item) if isinstance(item, Task) else math.inf)
    kind = FrozenSet if isinstance(holder, frozenset) else Set
    return kind().bind(*items, flow=flow)  # type: ignore[no-any-return]


def _holders_inside_out(value: Any) -> list[Any]:
    """Return the collections that hold a task at any depth, each once, after those that it holds."""
    holders: dict[int, Any] = {}
    done: set[int] = set()
    open_ones: set[int] = set()
    circular = False
    stack: list[tuple[Any, bool]] = [(value, False)]
    while stack:
        item, is_left = stack.pop()
        if is_left:
            open_ones.discard(id(item))
            done.add(id(item))
            if any(isinstance(part, Task) or id(part) in holders for part in _parts(item)):
                holders[id(item)] = item
            continue
        if isinstance(item, Marker):
            raise TypeError(f"{item!r} stands inside a collection; mark the whole argument, as in mapped([a, b]).")
        if not isinstance(item, COLLECTIONS) or id(item) in done:
            continue
        if id(item) in open_ones:
            circular = True
            continue
        open_ones.add(id(item))
        stack.append((item, True))
        stack += [(part, False) for part in reversed(_parts(item)) if isinstance(part, LOOKED_INTO)]
    if circular and holders:
        raise TypeError("A collection that holds a task contains itself; build it in a task instead.")
    return list(holders.values())


def _parts(collection: Any) -> list[Any]:
    if isinstance(collection, dict):
        return [*collection.keys(), *collection.values()]
    if isinstance(collection, set | frozenset) and any(isinstance(part, tuple | frozenset) for part in collection):
        return sorted(collection, key=repr)
    return list(collection)
