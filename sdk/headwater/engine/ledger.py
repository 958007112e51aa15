"""The ledger of a run: how each of its task runs ended, and where its result is stored. Pure, and plain JSON.

`ledger_of` reads it off a run, at any moment; what a later run of the same flow need not do again says `resume`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headwater.core import states
from headwater.core.states import Success
from headwater.engine.inputs import Length
from headwater.engine.run import Run, TaskRun


@dataclass(frozen=True, slots=True)
class Entry:
    """How a task run ended: *state* is the name of its state, *stored* (url, serializer) of its result.

    A task that was *mapped* has as many children as *width* says, once it was widened.
    """

    state: str
    message: str | None = None
    stored: tuple[str, str] | None = None
    length: Length = None
    children: Mapping[int, Entry] = field(default_factory=dict)
    width: int | None = None
    mapped: bool = False

    @property
    def good(self) -> bool:
        kind = getattr(states, self.state, None)
        return isinstance(kind, type) and issubclass(kind, Success)

    @property
    def all_good(self) -> bool:
        """Whether it succeeded, with each of its children."""
        if self.width is None:
            return self.good
        return len(self.children) == self.width and all(child.good for child in self.children.values())

    @property
    def is_there(self) -> bool:
        """Whether what it gave can be read later; what was skipped gave nothing."""
        return self.stored is not None or self.state == "Skipped"

    def as_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {"state": self.state}
        if self.message:
            found["message"] = self.message
        if self.stored is not None:
            found["stored"] = list(self.stored)
        if self.length is not None:
            found["length"] = list(self.length) if isinstance(self.length, tuple) else self.length
        if self.width is not None:
            found["width"] = self.width
            found["children"] = {str(index): child.as_dict() for index, child in self.children.items()}
        elif self.mapped:
            found["mapped"] = True
        return found

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Entry:
        """Raises KeyError and TypeError for what `as_dict` did not make."""
        length, stored = found.get("length"), found.get("stored")
        return cls(
            found["state"],
            found.get("message"),
            (str(stored[0]), str(stored[1])) if stored is not None else None,
            tuple(length) if isinstance(length, list) else length,
            {int(index): cls.from_dict(child) for index, child in found.get("children", {}).items()},
            found.get("width"),
            found.get("mapped", "width" in found),
        )


Ledger = dict[str, Entry]  # by slug


def ledger_of(run: Run) -> Ledger:
    """Return how the task runs of a run have ended; those that are under way are left out.

    It may be called beside the thread that changes the run: a state is the last of what is noted of an end.
    """
    found: Ledger = {}
    for plan, task in zip(run.plan.tasks, run.tasks, strict=True):
        if plan.parameter is not None:
            continue
        if task.children is not None and task.family is not None:
            children = {i: _entry(child) for i, child in enumerate(task.children) if child.state.is_finished()}
            found[plan.slug] = Entry(task.state.name, children=children, width=task.family.width, mapped=True)
        elif task.state.is_finished() and not task.state.is_mapped():  # it is just being widened
            found[plan.slug] = replace(_entry(task), mapped=plan.mapped)
    return found


def _entry(task: TaskRun) -> Entry:
    stored = (task.stored.url, task.stored.serializer) if task.stored is not None else None
    message = None if type(task.state) is Success else task.state.message
    return Entry(task.state.name, message, stored, task.length)
