"""A batch in the making."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from distributed import Scheduler

from headwater.engine.drive import Drive
from headwater.engine.events import SubmitTask
from headwater.engine.inputs import Input, Whole
from headwater.executors.dask_session import mapped_refs, numbered
from headwater.executors.here import call_of
from headwater.executors.inline import Inline
from headwater.executors.lanes.batch import Batch, Kept, Name, Step
from headwater.executors.work import TaskCall


class Making:
    """Steps, and a table of what they read, each result once."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._numbers: dict[Any, int] = {}
        self._table: list[Inline | Kept] = []
        self.steps: list[Step] = []
        self.bytes = 0

    @property
    def last_result(self) -> Any:
        """The ref of the last step's result, for those that follow it."""
        return Local(len(self.steps) - 1)

    def add(self, name: Name, command: SubmitTask, drive: Drive, after: int = -1) -> bool:
        """Add a task run; False when something that it reads is lost."""
        refs: dict[Any, int] = {}
        inputs = {key: numbered(given, refs) for key, given in command.inputs.items()}
        if any(self._entry(ref) is None for ref in refs):
            return False
        places = {number: ref if isinstance(ref, Local) else self._number(ref) for ref, number in refs.items()}
        plan = drive.run.plan.tasks[command.task]
        call = (
            call_of(drive.run, command)
            if after < 0
            else TaskCall(plan.slug, 1, command.map_index, measure=plan.measure)
        )
        self.steps.append(Step(name, call, {key: _placed(given, places) for key, given in inputs.items()}, after))
        return True

    def _entry(self, ref: Any) -> Inline | Kept | Local | None:
        if isinstance(ref, Inline | Local):
            return ref
        state = self._scheduler.tasks.get(ref.key)
        if state is None or not state.who_has:
            return None
        return Kept(ref.key, tuple(worker.address for worker in state.who_has))

    def _number(self, ref: Any) -> int:
        if ref not in self._numbers:
            entry = self._entry(ref)
            assert isinstance(entry, Inline | Kept), "it was looked at just now"
            self._numbers[ref] = len(self._table)
            self._table.append(entry)
            if isinstance(entry, Kept):
                self.bytes += max(0, self._scheduler.tasks[entry.key].nbytes)
        return self._numbers[ref]

    def batch(self, number: int) -> Batch:
        """Return the batch: local results come behind the table."""
        size = len(self._table)
        steps = tuple(
            step._replace(inputs={key: _shifted(given, size) for key, given in step.inputs.items()})
            if step.after >= 0
            else step
            for step in self.steps
        )
        return Batch(number, tuple(self._table), steps)


@dataclass(frozen=True)
class Local:
    """The result of an earlier step of the same batch."""

    step: int


def _placed(given: Input, places: dict[int, Any]) -> Input:
    """Put the numbers of the batch in the place of those of one command."""
    return mapped_refs(given, lambda number: Whole(places[number]))


def _shifted(given: Input, size: int) -> Input:
    return mapped_refs(given, lambda place: Whole(size + place.step if isinstance(place, Local) else place))
