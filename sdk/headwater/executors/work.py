"""What runs where the work is done: one task run, in a thread of this process or on a worker.

A task run is named by reference, a slug in a program, and given its inputs; the program says
where the tasks come from. Nothing of the flow or of the context travels with each task run.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import cloudpickle

from headwater.core.context import context
from headwater.core.entrypoint import load_flow
from headwater.core.flow import Flow
from headwater.core.task import Task
from headwater.engine.events import Failure

# What a failure's message and traceback may hold; both travel, and are logged.
MESSAGE_LENGTH = 20_000


@dataclass(frozen=True)
class RunInfo:
    """What every task of a run may know: it becomes `headwater.context`."""

    flow_name: str
    flow_run_name: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class BoundTask:
    """A task with the arguments that are constants of its flow."""

    task: Task
    constants: Mapping[str, Any]


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
        return cls({slug: BoundTask(task, flow.constants.get(task, {})) for task, slug in flow.slugs.items()})

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
        return cls(id, cloudpickle.dumps(FlowProgram.of(flow)))

    def resolve(self, slug: str) -> BoundTask:
        return _unpickled(self).resolve(slug)

    def __hash__(self) -> int:
        return hash(self.id)


@functools.lru_cache(maxsize=16)
def _unpickled(program: PickledProgram) -> FlowProgram:
    return cloudpickle.loads(program.data)  # type: ignore[no-any-return]  # what PickledProgram.of wrote


def run_task(
    program: Program,
    info: RunInfo,
    slug: str,
    run_count: int,
    inputs: Mapping[str, Any],
    finish: Callable[[Any], Any] = lambda value: value,
) -> tuple[Any, Failure | None]:
    """Run one task; return its value, or a Failure. Only KeyboardInterrupt is raised.

    *finish* is applied to the value and may still fail the task run.
    """
    try:
        bound = program.resolve(slug)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return None, describe(error)
    task = bound.task
    with context(
        flow_name=info.flow_name,
        flow_run_name=info.flow_run_name,
        parameters=info.parameters,
        task_name=task.name,
        task_slug=slug,
        task_run_count=run_count,
        logger=task.logger,
    ):
        task.logger.info("Task '%s': Starting task run...", task.name)
        try:
            value = finish(task.run(**bound.constants, **inputs))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # SystemExit too: a task that exits must not take its worker with it.
            failure = describe(error)
            task.logger.error(
                "Task '%s': Exception encountered during task execution!\n%s", task.name, failure.traceback
            )
            return None, failure
        task.logger.info("Task '%s': Finished task run for task with final state: 'Success'", task.name)
        return value, None


def describe(error: BaseException) -> Failure:
    """Turn an exception into words, its traceback beginning with the user's own code."""
    frames = error.__traceback__
    while frames is not None and frames.tb_next is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    text = "".join(traceback.format_exception(type(error), error, frames)).rstrip()
    return Failure(type(error).__name__, shorten(words_of(error)), shorten(text), error)


def words_of(error: BaseException) -> str:
    """Return what an exception says; one that cannot say it is described."""
    try:
        return str(error)
    except Exception as broken:
        return f"(its message cannot be read: {type(broken).__name__})"


def shorten(text: str, length: int = MESSAGE_LENGTH) -> str:
    """Keep the beginning and the end, which says most in a traceback."""
    if len(text) <= length:
        return text
    return f"{text[: length // 2]}\n... {len(text) - length} characters left out ...\n{text[-length // 2 :]}"
