"""The engine: a state machine that decides what a run does next.

`step(run, event)` changes the run and returns commands for whoever carries them out. It has no
clock, no thread and no I/O: the same events in the same order give the same commands. Events that
do not fit the state (late, repeated, of an earlier run of a task) change nothing and ask nothing.

    Pending ──SubmitTask──> Pending ──TaskStarted──> Running ──TaskSucceeded──> Success
       │                                                │
       │ an upstream failed                             ├──TaskFailed, TaskCrashed──> Failed, Crashed
       └──> TriggerFailed                               └──the same, retries left──> Retrying ──RetryCame──> Pending
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from headwater.core.states import (
    Crashed,
    Failed,
    Pending,
    Retrying,
    Running,
    State,
    Success,
    TriggerFailed,
)
from headwater.engine.events import (
    Command,
    Event,
    ReleaseResult,
    RetryCame,
    RunBegan,
    SubmitTask,
    TaskCrashed,
    TaskFailed,
    TaskStarted,
    TaskSucceeded,
    WakeAt,
)
from headwater.engine.plan import Plan


@dataclass(slots=True)
class TaskRun:
    """One task in one run. `waiting_for` counts unfinished upstream tasks, `readers` the tasks that still want its
    result; `ref` is the result's handle, None before Success and after its release."""

    state: State
    waiting_for: int
    readers: int
    run_count: int = 0
    ref: Any = None
    started_at: float | None = None
    finished_at: float | None = None


@dataclass(slots=True)
class Run:
    """A run of a plan. With *keep_results* no result is released: `flow.run()` returns them all."""

    plan: Plan
    keep_results: bool = True
    state: State = field(default_factory=lambda: Pending("Not begun."))
    tasks: list[TaskRun] = field(default_factory=list)
    unfinished: int = 0
    started_at: float | None = None
    finished_at: float | None = None

    def __post_init__(self) -> None:
        self.unfinished = len(self.plan.tasks)
        self.tasks = [
            TaskRun(
                state=Pending("Task not run."),
                waiting_for=len(task.upstream),
                readers=sum(1 for down in task.downstream if any(up == i for _, up in self.plan.tasks[down].inputs)),
            )
            for i, task in enumerate(self.plan.tasks)
        ]


def step(run: Run, event: Event) -> list[Command]:
    """Take in one event; return what to do now, in this order."""
    match event:
        case RunBegan():
            return _began(run, event)
        case TaskStarted():
            return _started(run, event)
        case TaskSucceeded():
            return _succeeded(run, event)
        case TaskFailed() | TaskCrashed():
            return _failed(run, event)
        case RetryCame():
            return _retry(run, event)


def _began(run: Run, event: RunBegan) -> list[Command]:
    if run.started_at is not None:
        return []
    run.started_at = event.at
    run.state = Running("Running flow.")
    commands: list[Command] = []
    for i, task in enumerate(run.plan.tasks):
        if task.parameter is not None:
            # A parameter's value is known; nobody has to run for it.
            run.tasks[i].ref = event.parameters[task.parameter]
            run.tasks[i].started_at = event.at
            commands += _finish(run, i, Success("Parameter given."), event.at)
    for i, task in enumerate(run.plan.tasks):
        # What waited for parameters only was submitted when the last of them finished.
        if task.parameter is None and not task.upstream:
            commands.append(_submit(run, i))
    if run.unfinished == 0:
        _conclude(run, event.at)
    return commands


def _started(run: Run, event: TaskStarted) -> list[Command]:
    task = run.tasks[event.task]
    if _is_current(task, event.run_count) and not task.state.is_running():
        task.state = Running("Starting task run.")
        task.started_at = event.at
    return []


def _succeeded(run: Run, event: TaskSucceeded) -> list[Command]:
    task = run.tasks[event.task]
    if not _is_current(task, event.run_count):
        return []
    task.ref = event.ref
    return _finish(run, event.task, Success("Task run succeeded."), event.at)


def _failed(run: Run, event: TaskFailed | TaskCrashed) -> list[Command]:
    task, plan = run.tasks[event.task], run.plan.tasks[event.task]
    if not _is_current(task, event.run_count):
        return []
    if isinstance(event, TaskFailed):
        state: State = Failed(event.failure.summary, event.failure.exception or event.failure)
    else:
        state = Crashed(event.reason)
    if task.run_count > plan.max_retries:
        return _finish(run, event.task, state, event.at)
    at = event.at + plan.retry_delay_seconds
    task.state = Retrying(
        f"Retrying Task (after attempt {task.run_count} of {plan.max_retries + 1}): {state.message}",
        start_time=datetime.fromtimestamp(at, UTC),
        run_count=task.run_count,
    )
    return [WakeAt(at, event.task, task.run_count)]


def _retry(run: Run, event: RetryCame) -> list[Command]:
    task = run.tasks[event.task]
    if not task.state.is_retrying() or task.run_count != event.run_count:
        return []
    task.state = Pending("Retry is due.")
    return [_submit(run, event.task)]


def _is_current(task: TaskRun, run_count: int) -> bool:
    """Whether an outcome belongs to the run of the task that is under way now."""
    return task.run_count == run_count and not task.state.is_finished() and not task.state.is_retrying()


def _submit(run: Run, i: int) -> SubmitTask:
    task = run.tasks[i]
    task.run_count += 1
    inputs = {key: run.tasks[up].ref for key, up in run.plan.tasks[i].inputs}
    return SubmitTask(i, task.run_count, inputs)


def _finish(run: Run, first: int, state: State, at: float) -> list[Command]:
    """Finish a task, and with it everything downstream that can now never run. No recursion: chains may be long."""
    commands: list[Command] = []
    todo = [(first, state)]
    while todo:
        i, final = todo.pop()
        task = run.tasks[i]
        task.state, task.finished_at = final, at
        run.unfinished -= 1
        for up in {up for _, up in run.plan.tasks[i].inputs}:
            commands += _read(run, up)
        if task.readers == 0 and final.is_successful():
            commands += _release(run, i)
        for down in run.plan.tasks[i].downstream:
            run.tasks[down].waiting_for -= 1
            if run.tasks[down].waiting_for == 0:
                refusal = _trigger(run, down)
                if refusal is None:
                    commands.append(_submit(run, down))
                else:
                    todo.append((down, refusal))
    if run.unfinished == 0:
        _conclude(run, at)
    return commands


def _read(run: Run, i: int) -> list[Command]:
    run.tasks[i].readers -= 1
    return _release(run, i) if run.tasks[i].readers == 0 else []


def _release(run: Run, i: int) -> list[Command]:
    task = run.tasks[i]
    if run.keep_results or not task.state.is_successful() or run.plan.tasks[i].parameter is not None:
        return []
    ref, task.ref = task.ref, None
    return [ReleaseResult(i, ref)]


def _trigger(run: Run, i: int) -> State | None:
    """Return why a task may not run although everything upstream is finished, or None when it may."""
    failed = [run.plan.tasks[up].name for up in run.plan.tasks[i].upstream if run.tasks[up].state.is_failed()]
    if not failed:
        return None
    names = ", ".join(f'"{name}"' for name in failed[:5]) + (" and others" if len(failed) > 5 else "")
    return TriggerFailed(f'Trigger was "all_successful" but upstream failed: {names}.')


def _conclude(run: Run, at: float) -> None:
    """The reference tasks decide."""
    run.finished_at = at
    states = [run.tasks[i].state for i in run.plan.reference]
    if any(state.is_failed() for state in states):
        run.state = Failed("Some reference tasks failed.")
    else:
        run.state = Success("All reference tasks succeeded.")
