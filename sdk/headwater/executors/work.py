"""What runs where the work is done: one task run, as a column of steps.

told      only the state handlers are told of a state that the engine has decided on
inputs    the arguments are brought together and the run gets its name
stored    a result of an earlier run is found at the task's target or in its cache
triggered the task's trigger lets it run
begun     Running
worked    the task's function runs; an exception or a signal becomes a state
kept      the result is stored, where the task says so
retried   a failure becomes Retrying while retries are left

The first step that answers decides, but for the last three, which follow each other. Each change of state passes the
task's state handlers. A signal LOOP begins another round at once.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from headwater.core.context import context, dates
from headwater.core.signals import LOOP, Signal
from headwater.core.states import Failed, Looped, Pending, Retrying, Running, State, Success
from headwater.core.task import Task
from headwater.engine.events import NO_REF, UNMAPPED, Loop
from headwater.engine.inputs import Length, measure
from headwater.engine.judge import ask_trigger
from headwater.engine.plan import UpstreamStates
from headwater.executors import retry
from headwater.executors.call import call_task
from headwater.executors.failures import summary_of, traceback_of
from headwater.executors.keeping import Keeper, keeper_of
from headwater.executors.program import BoundTask, Program, RunInfo
from headwater.executors.stdout import logged_stdout


class TaskCall(NamedTuple):
    """One task run, as it is sent to where it runs; `SubmitTask` with its inputs resolved."""

    slug: str
    number: int
    map_index: int = UNMAPPED
    previous: State | None = None
    upstream: UpstreamStates | None = None
    enter: State | None = None
    loop: Loop | None = None
    resumed: bool = False
    measure: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task run ended. *value* is NO_REF when there is none; the state's own result is set for failures only.

    *stored* is the address of a result that was stored.
    """

    state: State
    value: Any = NO_REF
    length: Length = None
    loop: Loop | None = None
    stored: Any = None


NOT_RUN = Pending("Task not run.")

# For a `with` that has nothing to do.
NOTHING = contextlib.nullcontext()


@dataclass(slots=True)
class Work:
    """One task run under way."""

    task: Task
    bound: BoundTask
    call: TaskCall
    inputs: dict[str, Any]
    parameters: Mapping[str, Any]
    began: Callable[[str | None], None]
    finish: Callable[[Any], Any]
    name: str
    state: State
    run_name: str | None = None
    loop: Loop | None = None
    keeper: Keeper | None = None
    quiet: bool = False

    def log(self, words: str, *values: str) -> None:
        """Log a step; that of one among many, or of a task that nobody wrote, is for who looks closely."""
        self.task.logger.log(logging.DEBUG if self.quiet or self.task.auto_generated else logging.INFO, words, *values)

    def enter(self, state: State) -> State:
        """Change the state, unless a state handler wants another; return what it is now."""
        if not self.task.state_handlers and self.task.on_failure is None:
            self.state = state
            return state
        old = self.state
        try:
            for handler in list(self.task.state_handlers):
                state = handler(self.task, old, state) or state
            if self.task.on_failure is not None and state.is_failed():
                self.task.on_failure(self.task, state)
        except Signal as signal:
            state = signal.state()
        except Exception as error:
            self.task.logger.exception("Task '%s': A state handler raised an exception.", self.name)
            state = Failed(f"A state handler raised {summary_of(error)}", error)
        self.state = state
        return state


def run_task(
    program: Program,
    info: RunInfo,
    call: TaskCall,
    inputs: Callable[[], Mapping[str, Any]],
    *,
    began: Callable[[str | None], None] = lambda run_name: None,
    finish: Callable[[Any], Any] = lambda value: value,
    quiet: bool = False,
) -> Outcome:
    """Run one task and say how it ended; only KeyboardInterrupt is raised.

    *inputs* are brought when they are needed; *began* is told the run's name when its function is about to run;
    *finish* is applied to the value and may still fail the task run. A *quiet* one logs what goes wrong only.
    """
    try:
        bound = program.resolve(call.slug)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return _failure(error)
    task = bound.task
    name = task.name if call.map_index == UNMAPPED else f"{task.name}[{call.map_index}]"
    before = call.previous if call.previous is not None else NOT_RUN
    work = Work(task, bound, call, {}, info.parameters, began, finish, name, before, loop=call.loop, quiet=quiet)
    printing = logged_stdout(task) if task.log_stdout else NOTHING
    with context(**_context(info, work)), printing:
        try:
            if call.enter is not None:
                return _outcome(work, work.enter(call.enter))
            work.inputs = {**bound.constants, **inputs()}
            return _outcome(work, _steps(work))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            task.logger.error("Task '%s': %s", name, traceback_of(error, [__file__]))
            return _failure(error)


def _context(info: RunInfo, work: Work) -> dict[str, Any]:
    task, call = work.task, work.call
    values = {
        **dates(info.started_at, info.extra.get("date")),
        "flow_name": info.flow_name,
        "flow_run_name": info.flow_run_name,
        "parameters": info.parameters,
        "task_name": task.name,
        "task_full_name": work.name,
        "task_run_name": work.name,  # until it has one of its own
        "task_slug": call.slug,
        "task_tags": frozenset(task.tags),
        "task_run_count": call.number,
        "task_loop_count": call.loop.count if call.loop else 1,
        "task_loop_result": call.loop.result if call.loop else None,
        "resume": call.resumed,
        "logger": task.logger,
        **info.extra,
    }
    if call.map_index != UNMAPPED:
        values["map_index"] = call.map_index
    return values


def _steps(work: Work) -> State:
    work.run_name = _run_name(work)
    if work.run_name is not None:
        context.change(task_run_name=work.run_name)
    for step in (_stored, _triggered, _begun):
        state = step(work)
        if state is not None:
            return work.enter(state) if state is not work.state else state
    return _rounds(work)


def _run_name(work: Work) -> str | None:
    template = work.task.task_run_name
    if template is None:
        return None
    values = {**work.parameters, **context.values(), **work.inputs}
    try:
        return str(template(**values)) if callable(template) else template.format(**values)
    except Exception as error:
        raise ValueError(
            f'task_run_name of task "{work.task.name}" cannot be made ({summary_of(error)}); it may use the '
            "task's arguments, the run's parameters and what headwater.context holds"
        ) from error


def _stored(work: Work) -> State | None:
    work.keeper = keeper_of(work.bound, work.inputs, work.parameters)
    return work.keeper.find() if work.keeper is not None else None


def _triggered(work: Work) -> State | None:
    return None if work.call.upstream is None else ask_trigger(work.task.trigger, work.call.upstream)


def _begun(work: Work) -> State | None:
    entered = work.enter(Running("Starting task run."))
    if not entered.is_running():
        return entered
    work.began(work.run_name)
    work.log("Task '%s': Starting task run...", work.name)
    return None


def _rounds(work: Work) -> State:
    while True:
        state = _retried(work, _kept(work, _worked(work)))
        entered = work.enter(state)
        if not isinstance(entered, Looped):
            break
        work.loop = Loop(entered.loop_count + 1, entered.result)
        context.change(task_loop_count=work.loop.count, task_loop_result=work.loop.result)
        work.enter(Running("Starting task run."))
    words = "Task '%s': Finished task run for task with final state: '%s'"
    work.log(words, work.name, entered.name)
    return entered


def _worked(work: Work) -> State:
    task = work.task
    try:
        return Success("Task run succeeded.", work.finish(call_task(task, work.inputs, work.name)))
    except KeyboardInterrupt:
        raise
    except LOOP as signal:
        return Looped(signal.message or None, signal.result, loop_count=work.loop.count if work.loop else 1)
    except Signal as signal:
        return signal.state()
    except TimeoutError as error:
        if getattr(error, "headwater_timed_out", False):
            return retry.timed_out(task, error)
        return _told_failure(work, error)
    except BaseException as error:
        # SystemExit too: a task that exits must not take its worker with it.
        return _told_failure(work, error)


def _told_failure(work: Work, error: BaseException) -> State:
    text = traceback_of(error, OWN_FILES)
    work.task.logger.error("Task '%s': Exception encountered during task execution!\n%s", work.name, text)
    return Failed(summary_of(error), error)


def _kept(work: Work, state: State) -> State:
    if work.keeper is None or not isinstance(state, Success) or state.is_skipped():
        return state
    return work.keeper.keep(state)


def _retried(work: Work, state: State) -> State:
    return retry.judge(work.task, state, work.call.number, time.time(), f"{work.call.slug}/{work.call.map_index}")


def _failure(error: BaseException) -> Outcome:
    return Outcome(Failed(summary_of(error), error))


def _outcome(work: Work, state: State) -> Outcome:
    """Part a state from its result, which stays where it is."""
    if not state.is_successful():
        loop = work.loop if isinstance(state, Retrying) else None
        return Outcome(state, loop=loop)
    value, bare = state.result, state.bare()
    if state.is_skipped() and value is None:
        return Outcome(bare)
    stored = work.keeper.stored if work.keeper is not None else None
    return Outcome(bare, value, measure(value, work.call.measure), stored=stored)


OWN_FILES = frozenset({__file__, call_task.__code__.co_filename})

__all__ = ["Outcome", "TaskCall", "run_task"]
