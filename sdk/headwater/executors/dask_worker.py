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

import cloudpickle
from dask.sizeof import sizeof
from distributed import get_worker
from distributed.diagnostics.plugin import WorkerPlugin

from headwater.engine.events import Failure
from headwater.executors.work import BoundTask, PickledProgram, Program, RunInfo, run_task

# Results up to this size are pickled once on their worker to see that they can travel at all.
TRIED_BYTES = 1 << 20

# The programs that ProgramPlugins brought to this process.
PROGRAMS: dict[str, PickledProgram] = {}


# Called with the worker when a task run is over and its outcome is not yet told.
AFTER_TASK_RUN: list[Callable[[Any], None]] = []


class TaskFailure(Exception):
    """How a worker tells that a task raised. Holds text only, so that it can always be unpickled."""

    def __init__(self, type: str, message: str, traceback: str, pickled: bytes | None) -> None:
        super().__init__(type, message, traceback, pickled)

    def __str__(self) -> str:
        return str(self.args[0])  # Dask replaces an exception whose text is long by one that says less

    def failure(self) -> Failure:
        kind, message, traceback, pickled = self.args
        exception = None
        if pickled is not None:
            try:
                exception = pickle.loads(pickled)
            except Exception:
                # Its class is not importable here; the text says what it was.
                exception = None
        return Failure(kind, message, traceback, exception)


def run_on_worker(
    program: Program, info: RunInfo, topic: str, slug: str, task: int, run_count: int, inputs: Mapping[str, Any]
) -> Any:
    """Run one task on a worker: tell that it starts, return its value or raise TaskFailure."""
    worker = get_worker()
    worker.log_event(topic, (task, run_count, time.time()))
    value, failure = run_task(program, info, slug, run_count, inputs, finish=check_portable)
    for hook in AFTER_TASK_RUN:
        hook(worker)
    if failure is None:
        return value
    raise TaskFailure(failure.type, failure.message, failure.traceback, _pickled(failure.exception)) from None


def check_portable(value: Any) -> Any:
    """Return a result that another process can read. Raises TypeError that says what to return instead.

    Without this a worker that wants an unpicklable result would ask for it for ever.
    """
    if sizeof(value) <= TRIED_BYTES:
        try:
            cloudpickle.dumps(value)
        except Exception as error:
            raise TypeError(
                f"the result, a {type(value).__name__}, cannot be pickled and so cannot travel ({error}); "
                "return plain data, and open files, locks and connections in the task that uses them"
            ) from None
    return value


def _pickled(exception: BaseException | None) -> bytes | None:
    try:
        data = cloudpickle.dumps(exception)
        pickle.loads(data)  # many exceptions pickle and then fail to unpickle
    except Exception:
        return None
    return data if len(data) <= TRIED_BYTES else None


class OwnFailuresOnly(logging.Filter):
    """Drop Dask's report of a TaskFailure: the task's own logger has told it already, readably."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return not (message.startswith("Compute Failed") and "TaskFailure(" in message)


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
