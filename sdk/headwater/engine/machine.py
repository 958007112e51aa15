"""The engine: a state machine that decides what a run does next.

`step(run, event)` changes the run and returns commands for whoever carries them out. It has no
clock, no thread and no I/O: the same events in the same order give the same commands. Events that
do not fit the state (late, repeated, of an earlier run of a task) change nothing and ask nothing.

    Pending ──SubmitTask──> Pending ──TaskStarted──> Running ──TaskEnded──> Success, Failed, Skipped, ...
       │                                                ├──TaskEnded──> Retrying, Paused ──TimeCame ...──> Pending
       │                                                └──TaskCrashed──> Crashed, or Retrying while retries are left
       ├──what is upstream decides──> Skipped, TriggerFailed, or Mapped: its children live as tasks do
       └──RunCancelled, TaskWithdrawn, TaskMarked──> Cancelled, or what somebody said (see `intervene`)
"""

from __future__ import annotations

from datetime import UTC, datetime

from headwater.core.errors import TaskCrashedError
from headwater.core.signals import FAIL
from headwater.core.states import Cancelled, Crashed, Mapped, Paused, Pending, Resume, Retrying, Running, State, Success
from headwater.engine.advance import conclude, finish, open_more, submit, tell
from headwater.engine.events import (
    NO_REF,
    UNMAPPED,
    AskToResume,
    Command,
    Event,
    PauseAnswered,
    RunBegan,
    RunCancelled,
    TaskCrashed,
    TaskEnded,
    TaskMarked,
    TaskStarted,
    TaskWithdrawn,
    TimeCame,
    WakeAt,
)
from headwater.engine.inputs import measure
from headwater.engine.intervene import cancel, mark, withdraw
from headwater.engine.judge import judge
from headwater.engine.run import Key, Run, TaskRun

__all__ = ["Run", "step"]

RUNNING = Running("Starting task run.")


def step(run: Run, event: Event) -> list[Command]:
    """Take in one event; return what to do now, in this order."""
    if isinstance(event, RunBegan):
        return _began(run, event)
    if isinstance(event, RunCancelled):
        return cancel(run, event)
    try:
        task = run.at(event.task, event.map_index)
    except IndexError:
        return []
    match event:
        case TaskStarted():
            return _started(run, task, event)
        case TaskEnded():
            return _ended(run, task, event)
        case TaskCrashed():
            return _crashed(run, task, event)
        case TimeCame() | PauseAnswered():
            return _go_on(run, task, event)
        case TaskWithdrawn():
            return withdraw(run, task, event)
        case TaskMarked():
            return mark(run, event)


def _began(run: Run, event: RunBegan) -> list[Command]:
    if run.started_at is not None:
        return []
    run.started_at = event.at
    run.state = Running("Running flow.")
    commands: list[Command] = []
    for i, given in event.given.items():
        # Before anything is judged: what is upstream of them does not matter any more.
        task = run.tasks[i]
        if given.children is not None:
            # It is widened in its turn, and its children are found when they are opened.
            task.given_children = given.children
            continue
        if given.in_turn:
            task.given_in_turn = given
            continue
        task.state, task.ref, task.length, task.given = given.state, given.ref, given.length, True
        if given.stored is not None:
            task.stored = given.stored
    for i in event.given:
        if run.tasks[i].given:
            commands += finish(run, (i, UNMAPPED), run.tasks[i].state, event.at)
    for i, plan in enumerate(run.plan.tasks):
        if plan.parameter is not None:
            # A parameter's value is known; nobody has to run for it.
            task = run.tasks[i]
            task.ref = event.parameters[plan.parameter]
            task.length = measure(task.ref, plan.measure)
            task.started_at = event.at
            commands += finish(run, (i, UNMAPPED), Success("Parameter given."), event.at)
    for i, plan in enumerate(run.plan.tasks):
        # What waits for those only was judged when the last of them was known.
        if plan.parameter is None and not plan.upstream and not run.tasks[i].given:
            commands.append(submit(run, (i, UNMAPPED)))
    if run.unfinished == 0:
        conclude(run, event.at)
    return commands


def _started(run: Run, task: TaskRun, event: TaskStarted) -> list[Command]:
    if _is_current(task, event.run_count) and not task.state.is_running():
        run.enter(event.task, event.map_index, RUNNING)
        _note_start(run, task, event, event.at)
        _note_begin(run, event.at)
    return []


def _note_start(run: Run, task: TaskRun, event: TaskStarted | TaskEnded, at: float) -> None:
    task.started_at = at
    if event.run_name is not None:
        task.run_name = event.run_name
    family = run.tasks[event.task].family
    if family is not None and (family.first_started_at is None or at < family.first_started_at):
        family.first_started_at = at


def _note_begin(run: Run, at: float) -> None:
    if run.begun_at is None or at < run.begun_at:
        run.begun_at = at


def _ended(run: Run, task: TaskRun, event: TaskEnded) -> list[Command]:
    if not _is_current(task, event.run_count):
        return []
    # One that its trigger held back, as a person has to let it run, has not started; what runs tasks has all the same.
    _note_begin(run, event.at if event.started_at is None else event.started_at)
    if event.started_at is not None and not task.state.is_running():
        _note_start(run, task, event, event.started_at)
    elif task.started_at is None and event.ref is not NO_REF:
        _note_start(run, task, event, event.at)
    task.ref, task.length = event.ref, event.length
    # What few have is set only where it changes.
    if task.loop is not event.loop:
        task.loop = event.loop
    if task.stored is not event.stored:
        task.stored = event.stored
    if task.entering is not None:
        task.entering = None
    return _enter(run, (event.task, event.map_index), event.state, event.at)


def _enter(run: Run, key: Key, state: State, at: float) -> list[Command]:
    """Let a task run enter a state that its handlers, if any, have agreed to."""
    task = run.at(*key)
    if not state.is_finished():
        return _wait(run, key, state, at)
    if isinstance(state, Mapped) and run.plan.tasks[key[0]].mapped and key[1] == UNMAPPED:
        _, task.length = judge(run, *key)
    return finish(run, key, state, at)


def _wait(run: Run, key: Key, state: State, at: float) -> list[Command]:
    """Retrying or Paused: until a time, or until a person says so. In a cancelled run neither comes."""
    if run.cancelled and not run.plan.tasks[key[0]].cleans_up:
        words = f"Not run again: {run.cancelled}. It would be {state.name}: {state.message or 'no reason given'}"
        return finish(run, key, Cancelled(words), at)
    run.enter(*key, state)
    return [_waiting(run.at(*key), key, state, at), *open_more(run, key[0], at)]


def _waiting(task: TaskRun, key: Key, state: State, at: float) -> Command:
    start = getattr(state, "start_time", None)
    if start is not None:
        return WakeAt(start.timestamp(), key[0], task.run_count, key[1])
    if isinstance(state, Paused):
        return AskToResume(key[0], task.run_count, state.message or "", key[1])
    return WakeAt(at, key[0], task.run_count, key[1])


def _crashed(run: Run, task: TaskRun, event: TaskCrashed) -> list[Command]:
    plan, key = run.plan.tasks[event.task], (event.task, event.map_index)
    if not _is_current(task, event.run_count):
        return []
    if task.entering is not None:
        # Whoever was to be told of the state is gone; the state holds all the same.
        return _enter(run, key, task.entering, event.at)
    state: State = Crashed(event.reason, TaskCrashedError(event.reason))
    if task.runs <= plan.max_retries:
        state = retrying(task.runs, plan.max_retries, event.reason, event.at + plan.retry_delay_seconds(task.runs))
    if plan.handled:
        return [tell(run, key, state)]
    return _enter(run, key, state, event.at)


def retrying(runs: int, max_retries: int, why: str | None, at: float) -> Retrying:
    """Return the state of a task run that waits for its next run, which begins at *at*."""
    words = f"Retrying Task (after attempt {runs} of {max(max_retries, runs) + 1}): {why or 'no reason given'}"
    return Retrying(words, start_time=datetime.fromtimestamp(at, UTC), run_count=runs)


def _go_on(run: Run, task: TaskRun, event: TimeCame | PauseAnswered) -> list[Command]:
    waits = task.state.is_retrying() or task.state.is_paused()
    if not waits or task.run_count != event.run_count:
        return []
    key, before = (event.task, event.map_index), task.state
    if isinstance(event, PauseAnswered) and not event.approved:
        words = f"It was paused and may not go on, as {event.reason}. {before.message}"
        return finish(run, key, FAIL(words).state(), event.at)
    if before.is_paused():
        task.resumed = True
        task.uncounted += 1
        run.enter(*key, Resume("It may go on."))
    else:
        run.enter(*key, Pending("Retry is due."))
    return [submit(run, key, before)]


def _is_current(task: TaskRun, run_count: int) -> bool:
    """Whether an outcome belongs to the run of the task that is under way now."""
    waits = task.state.is_retrying() or task.state.is_paused()
    return task.run_count == run_count and not task.state.is_finished() and not waits
