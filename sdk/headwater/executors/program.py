"""Where the tasks of a run come from. A task run is named by reference, a slug in a program.

Nothing of the flow or of the context travels with each task run.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import cloudpickle

from headwater.core.entrypoint import load_flow
from headwater.core.errors import FlowError
from headwater.core.flow import Flow
from headwater.core.task import Task
from headwater.engine.events import Given, RunBegan


@dataclass(frozen=True)
class RunInfo:
    """What every task of a run may know: it becomes `headwater.context`."""

    flow_name: str
    flow_run_name: str
    parameters: Mapping[str, Any]
    started_at: float = field(default_factory=time.time)
    extra: Mapping[str, Any] = field(default_factory=dict)  # what the caller adds to the context
    # Finished tasks by their place in the flow, with the results that they have; not for workers.
    given: Mapping[int, Given] = field(default_factory=dict)

    def begin(self) -> RunBegan:
        """Return the event by which the run begins."""
        return RunBegan(time.time(), dict(self.parameters), dict(self.given))


@dataclass(frozen=True)
class BoundTask:
    """A task with the arguments that are constants of its flow, and where its results are kept."""

    task: Task
    constants: Mapping[str, Any]
    flow_name: str = ""
    result: Any = None


class Program(Protocol):
    """Where the tasks of a run come from."""

    def resolve(self, slug: str) -> BoundTask:
        """Return a task by its slug."""


@dataclass(frozen=True)
class FlowProgram:
    """The flow itself, in the process that holds it."""

    tasks: Mapping[str, BoundTask]

    @classmethod
    def of(cls, flow: Flow) -> FlowProgram:
        return cls(
            {
                slug: BoundTask(
                    task,
                    flow.constants.get(task, {}),
                    flow.name,
                    task.result if task.result is not None else flow.result,
                )
                for task, slug in flow.slugs.items()
            }
        )

    def resolve(self, slug: str) -> BoundTask:
        return self.tasks[slug]


@dataclass(frozen=True)
class EntrypointProgram:
    """A flow that every process imports for itself, once: the case of a flow image."""

    entrypoint: str
    folders: tuple[str, ...] = ()

    def resolve(self, slug: str) -> BoundTask:
        return _imported(self.entrypoint, self.folders).resolve(slug)


@functools.cache
def _imported(entrypoint: str, folders: tuple[str, ...]) -> FlowProgram:
    return FlowProgram.of(load_flow(entrypoint, [Path(folder) for folder in folders]))


@dataclass(frozen=True)
class PickledProgram:
    """A flow by value, for workers that cannot import it: notebooks and scripts. Unpickled once per process."""

    id: str
    data: bytes = field(repr=False)

    @classmethod
    def of(cls, flow: Flow, id: str) -> PickledProgram:
        """Raises FlowError that names the task that cannot be pickled."""
        program = FlowProgram.of(flow)
        try:
            return cls(id, cloudpickle.dumps(program))
        except Exception as error:
            raise FlowError(_unpicklable(program, error)) from None

    def resolve(self, slug: str) -> BoundTask:
        return _unpickled(self).resolve(slug)

    def __hash__(self) -> int:
        return hash(self.id)


def _unpicklable(program: FlowProgram, error: Exception) -> str:
    """Say what of a flow cannot travel to other processes."""
    what = "the flow"
    for bound in program.tasks.values():
        for argument, value in bound.constants.items():
            if not _pickles(value):
                what = f'argument "{argument}" of task "{bound.task.name}", a {type(value).__name__},'
        if not _pickles(bound.task):
            what = f'task "{bound.task.name}"'
    return (
        f"{what} cannot be pickled and so cannot be sent to other processes ({error}); make files, locks and "
        "connections inside the task that uses them, or run with LocalExecutor"
    )


def _pickles(value: Any) -> bool:
    try:
        cloudpickle.dumps(value)
    except Exception:
        return False
    return True


@functools.lru_cache(maxsize=16)
def _unpickled(program: PickledProgram) -> FlowProgram:
    return cloudpickle.loads(program.data)  # type: ignore[no-any-return]  # what PickledProgram.of wrote
