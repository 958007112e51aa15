"""Run the steps of a batch one after the other, and tell what became of each. The same in a lane and in a Dask task.

It is told that a step begins before the step's function is called, and how it ended before the next one begins.
"""

from __future__ import annotations

import pickle
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dask.sizeof import sizeof

from headwater.core.states import Failed, Success
from headwater.engine.events import NO_REF, UNMAPPED
from headwater.engine.inputs import resolve
from headwater.executors.dask_worker import check_portable
from headwater.executors.failures import summary_of
from headwater.executors.inline import Stored
from headwater.executors.lanes.batch import (
    INLINE_BYTES,
    LAST,
    Batch,
    Began,
    Ended,
    Lost,
    Name,
    Record,
    Step,
    Unrun,
)
from headwater.executors.program import Program, RunInfo
from headwater.executors.wire import pack, pickle_value
from headwater.executors.work import Outcome, run_task

# What may be small when it is pickled is pickled, to see.
MAYBE_SMALL_BYTES = 16 * INLINE_BYTES

# So many children of a task in one batch are told of together in the log; what goes wrong is told by itself.
MANY = 8

PLAIN_MESSAGE = "Task run succeeded."


class InputLostError(Exception):
    """What a step reads was lost with its holder."""


class Teller(Protocol):
    """Takes records on their way."""

    def later(self, record: Record) -> None:
        """Take a record that may wait for the next that may not."""

    def now(self, record: Record) -> None:
        """Take a record that is to be told before anything else happens."""


class Keeping(Protocol):
    """Where results stay that are too large to travel with their records."""

    address: str

    def keep(self, name: Name, value: Any) -> tuple[str, int]:
        """Keep a result; return its key and its size in bytes."""


@dataclass
class Steps:
    """The steps of one batch; *kept* holds those results of its table that are no inline ones."""

    batch: Batch
    kept: Mapping[str, Any]
    program: Program
    info: RunInfo
    shelf: Keeping
    teller: Teller

    def run(self, go_on: Callable[[int], bool] = lambda number: True) -> None:
        """Run all steps; *go_on* is asked before each, by its number, and ends the batch with False."""
        self._last: Any = None
        self._small: dict[int, Any] = {}
        self._children = Counter(step.name[0] for step in self.batch.steps if step.name[1] != UNMAPPED)
        self._ended: dict[int, Counter[str]] = {}
        succeeded = False
        for number, step in enumerate(self.batch.steps):
            if not go_on(number):
                break
            if step.follows and not succeeded:
                # At once: what it follows may run again elsewhere, and this with it.
                self.teller.later(Unrun((step.name,)))
            else:
                succeeded = self._step(step)
        for task, states in self._ended.items():
            self._sum_up(task, states)

    def _step(self, step: Step) -> bool:
        """Run a step; return whether those that come after it may begin."""
        began: float | None = None
        name: str | None = None

        def note_begin(run_name: str | None) -> None:
            nonlocal began, name
            began, name = time.time(), run_name
            self.teller.now(Began(step.name, began, run_name))

        travelling = Travelling()
        index = step.name[1]
        outcome = run_task(
            self.program,
            self.info,
            self.batch.call_of(step),
            lambda: {key: resolve(given, index, self._read) for key, given in step.inputs.items()},
            began=note_begin,
            finish=travelling.finish,
            quiet=self._children[step.name[0]] >= MANY,
        )
        if self._children[step.name[0]] >= MANY:
            self._ended.setdefault(step.name[0], Counter())[outcome.state.name] += 1
        if isinstance(outcome.state.result, InputLostError):
            self.teller.later(Lost(step.name))
            return False
        data, outcome = travelling.of(outcome)
        value = outcome.value
        self._last = value
        key, nbytes, worker = None, 0, None
        if value is not NO_REF and data is None:
            (key, nbytes), worker = self.shelf.keep(step.name, value), self.shelf.address
        packed = None if _is_plain(outcome) else pack(outcome)
        length = outcome.length
        self.teller.later(Ended(step.name, began, time.time(), name, packed, data, key, nbytes, worker, length))
        return value is not NO_REF and type(outcome.state) is Success

    def _sum_up(self, task: int, states: Counter[str]) -> None:
        """Log in one line how many children ended, in the place of two lines for each."""
        found = self.program.resolve(self.batch.tasks[task][0]).task
        if not found.auto_generated:
            words = ", ".join(f"{count} {name}" for name, count in states.items())
            found.logger.info("Task '%s': Finished %d task runs: %s", found.name, states.total(), words)

    def _read(self, number: int) -> Any:
        """Return a result that a step reads. Raises InputLostError."""
        if number == LAST:
            return self._last
        if number not in self._small:
            entry = self.batch.table[number]
            if isinstance(entry, bytes):
                self._small[number] = pickle.loads(entry)
            elif isinstance(entry, Stored):
                self._small[number] = entry.load()
            elif entry.key in self.kept:
                self._small[number] = self.kept[entry.key]
            else:
                raise InputLostError(entry.key)
        return self._small[number]

    def fail_rest(self, error: BaseException, begun: int, end: int | None) -> None:
        """Tell that those from the last one begun to *end* failed by something of ours."""
        failure, now = pack(Outcome(Failed(summary_of(error), error))), time.time()
        for step in self.batch.steps[max(0, begun - 1) : end]:
            self.teller.later(Ended(step.name, None, now, None, failure, None, None, 0, None, None))


class Travelling:
    """How a result travels: as bytes if it is small, else it stays where it was made."""

    def __init__(self) -> None:
        self._value: Any = NO_REF
        self._data: bytes | None = None

    def finish(self, value: Any) -> Any:
        """Look whether a result can travel at all. Raises TypeError that says what to return instead."""
        self._value = value
        self._data = None
        if sizeof(value) <= MAYBE_SMALL_BYTES:
            data = pickle_value(value)
            self._data = data if len(data) <= INLINE_BYTES else None
        else:
            check_portable(value)
        return value

    def of(self, outcome: Outcome) -> tuple[bytes | None, Outcome]:
        """Return the bytes of an outcome's result, None where it stays; a result that cannot travel is a failure."""
        if outcome.value is NO_REF:
            return None, outcome
        if outcome.value is not self._value:  # of a cache, or a state handler's
            try:
                self.finish(outcome.value)
            except TypeError as error:
                return None, Outcome(Failed(summary_of(error), error))
        return self._data, outcome


def _is_plain(outcome: Outcome) -> bool:
    return (
        type(outcome.state) is Success
        and outcome.value is not NO_REF
        and outcome.state.message == PLAIN_MESSAGE
        and outcome.loop is None
        and outcome.stored is None
    )
