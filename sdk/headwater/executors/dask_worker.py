"""The worker's side of DaskExecutor: what runs a task run there, and what it may bring along.

Workers import this module with the first task run that they get.
"""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dask.sizeof import sizeof
from distributed import get_worker
from distributed.diagnostics.plugin import WorkerPlugin

from headwater.engine.events import NO_REF
from headwater.engine.inputs import Input, resolve
from headwater.executors.boxed import boxed, unboxed
from headwater.executors.inline import loaded
from headwater.executors.program import BoundTask, PickledProgram, Program, RunInfo
from headwater.executors.wire import PackedOutcome, pack, pickle_value
from headwater.executors.work import Outcome, TaskCall, run_task

# Results up to this size are pickled once on their worker to see that they can travel at all.
TRIED_BYTES = 1 << 20

# The programs that ProgramPlugins brought to this process.
PROGRAMS: dict[str, PickledProgram] = {}


# Called with the worker when a task run is over and its outcome is not yet told.
AFTER_TASK_RUN: list[Callable[[Any], None]] = []


class TaskEnding(Exception):
    """How a worker tells that a task run ended without a result to keep: failed, skipped, to be retried, paused.

    Holds what unpickles everywhere. *value* is the pickled result of one that has a small one nevertheless.
    """

    def __init__(self, packed: PackedOutcome, value: bytes | None = None) -> None:
        super().__init__(packed, value)

    def __str__(self) -> str:
        return "TaskEnding"  # Dask replaces an exception whose text is long by one that says less

    def outcome(self) -> Outcome:
        packed, value = self.args
        found: Outcome = packed.load(NO_REF if value is None else pickle.loads(value))
        return found


@dataclass(frozen=True, slots=True)
class WorkerCall:
    """A task run as it goes to a worker. *name* is (task, map index, run count); *inputs* point into the refs."""

    name: tuple[int, int, int]
    call: TaskCall
    inputs: Mapping[str, Input]
    plain: bool


def run_on_worker(program: Program, info: RunInfo, topic: str, work: WorkerCall, refs: list[Any]) -> Any:
    """Run one task on a worker: tell that it starts, return its value or raise TaskEnding."""
    worker = get_worker()

    def began(run_name: str | None) -> None:
        worker.log_event(topic, ("began", work.name, time.time(), run_name))

    outcome = run_task(
        program,
        info,
        work.call,
        lambda: {
            key: resolve(given, work.call.map_index, lambda ref: loaded(unboxed(refs[ref])))
            for key, given in work.inputs.items()
        },
        began=began,
        finish=check_portable,
    )
    for hook in AFTER_TASK_RUN:
        hook(worker)
    if outcome.value is NO_REF:
        raise TaskEnding(pack(outcome)) from None
    if work.plain and outcome.state.is_skipped():
        # Nobody waits for more words about a plain task run, so its result goes with them.
        raise TaskEnding(pack(outcome), pickle_value(outcome.value)) from None
    if not work.plain:
        worker.log_event(topic, ("ended", work.name, pickle.dumps(pack(outcome))))
    return boxed(outcome.value)


def check_portable(value: Any) -> Any:
    """Return a result that another process can read. Raises TypeError that says what to return instead.

    Without this a worker that wants an unpicklable result would ask for it for ever.
    """
    if sizeof(value) <= TRIED_BYTES:
        pickle_value(value)
    return value


class OwnFailuresOnly(logging.Filter):
    """Drop Dask's report of a TaskEnding: the task's own logger has told it already, readably."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return not (message.startswith("Compute Failed") and "TaskEnding" in message)


logging.getLogger("distributed.worker").addFilter(OwnFailuresOnly())


class ProgramPlugin(WorkerPlugin):  # type: ignore[misc]  # distributed has no types
    """Bring a pickled program to every worker once, to those that join later too."""

    def __init__(self, program: PickledProgram) -> None:
        self.name = f"headwater-program-{program.id}"
        self.program = program

    def setup(self, worker: Any) -> None:
        PROGRAMS[self.program.id] = self.program

    def teardown(self, worker: Any) -> None:
        PROGRAMS.pop(self.program.id, None)


@dataclass(frozen=True)
class DeliveredProgram:
    """A program that a ProgramPlugin has brought to this worker."""

    id: str

    def resolve(self, slug: str) -> BoundTask:
        return PROGRAMS[self.id].resolve(slug)
