"""A batch in the making."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from headwater.engine.drive import Drive
from headwater.engine.events import SubmitTask
from headwater.engine.inputs import Each, Flat, Gathered, Input, Item, Results, Value, Whole
from headwater.executors.dask_refs import Held
from headwater.executors.here import call_of
from headwater.executors.inline import Inline, Stored
from headwater.executors.lanes.batch import LAST, Batch, Kept, Name, Step
from headwater.executors.work import TaskCall


class Store(Protocol):
    """What is known of results that stay where they were made."""

    def find(self, ref: Any) -> Kept | None:
        """Return where a result is, None when it is lost."""

    def nbytes(self, key: str) -> int:
        """Return the size of a result."""


class LostError(Exception):
    """Something that a task run reads is lost."""


class Making:
    """Steps, and a table of what they read, each result once."""

    def __init__(self, store: Store, drive: Drive) -> None:
        self._store = store
        self._run = drive.run
        self._numbers: dict[Any, int] = {}
        self._table: list[bytes | Stored | Kept] = []
        self._tasks: dict[int, tuple[str, int]] = {}
        # Inputs that are the same object for many task runs, by its id, which lives as long as their commands.
        self._shared: dict[int, tuple[Mapping[str, Input], Mapping[str, Input]]] = {}
        self.refs: list[Any] = []  # those that are not inline, in the order of the table
        self.steps: list[Step] = []
        self.bytes = 0

    def add(self, name: Name, command: SubmitTask) -> bool:
        """Add a task run; False when something that it reads is lost."""
        given = command.inputs
        shared = self._shared.get(id(given))
        if shared is None:
            try:
                placed = {key: self._placed(value) for key, value in given.items()}
            except LostError:
                return False
            self._shared[id(given)] = shared = given, placed
        plan = self._run.plan.tasks[command.task]
        self._tasks[command.task] = plan.slug, plan.measure
        self.steps.append(Step(name, shared[1], False, _more_than_first(call_of(self._run, command))))
        return True

    def follow(self, name: Name, inputs: Mapping[str, Input]) -> bool:
        """Add a task run that follows the one added last, whose result is LAST in its inputs; False as in `add`."""
        try:
            placed = {key: self._placed(value) for key, value in inputs.items()}
        except LostError:
            return False
        plan = self._run.plan.tasks[name[0]]
        self._tasks[name[0]] = plan.slug, plan.measure
        self.steps.append(Step(name, placed, True))
        return True

    def _placed(self, given: Input) -> Input:
        """Return an input whose refs are places in the table."""
        kind = type(given)
        if kind is Value:
            return given
        if kind is Whole:
            ref = given.ref  # type: ignore[union-attr]  # by its kind
            return Value(ref.value) if type(ref) is Held else Whole(self._number(ref))
        match given:
            case Each(source):
                return Each(self._placed(source))
            case Item(source, index):
                return Item(self._placed(source), index)
            case Gathered(parts):
                return Gathered(tuple(map(self._placed, parts)))
            case Results(refs):
                if any(type(ref) is Held for ref in refs):
                    return Gathered(tuple(self._placed(Whole(ref)) for ref in refs))
                return Results(self._all(refs))
            case Flat(source):
                return Flat(self._placed(source))
        raise AssertionError(f"an input is none of those that there are: {given!r}")

    def _all(self, refs: Sequence[Any]) -> Sequence[int]:
        if not all(type(ref) is Inline for ref in refs):
            return [self._number(ref) for ref in refs]
        first = len(self._table)
        self._table += map(bytes, refs)
        return range(first, len(self._table))

    def _number(self, ref: Any) -> int:
        if isinstance(ref, int):
            return LAST
        number = self._numbers.get(ref)
        if number is None:
            number = len(self._table)
            entry = self._entry(ref)
            if entry is None:
                raise LostError
            self._numbers[ref] = number
            self._table.append(entry)
            if isinstance(entry, Kept):
                self.refs.append(ref)
                self.bytes += self._store.nbytes(entry.key)
        return number

    def _entry(self, ref: Any) -> bytes | Stored | Kept | None:
        if isinstance(ref, Inline):
            return bytes(ref)
        return ref if isinstance(ref, Stored) else self._store.find(ref)

    def batch(self, number: int) -> Batch:
        return Batch(number, tuple(self._table), self._tasks, tuple(self.steps))


def _more_than_first(call: TaskCall) -> TaskCall | None:
    """Return a call that says more than that its task is run for the first time."""
    _, number, _, previous, upstream, enter, loop, resumed, _ = call
    plain = number == 1 and previous is None and upstream is None and enter is None and loop is None and not resumed
    return None if plain else call
