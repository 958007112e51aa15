"""`flow.run()`: one run of a flow from this process, with an executor."""

from __future__ import annotations

import copy
import functools
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from headwater.core.context import context as current
from headwater.core.context import dates
from headwater.core.errors import FlowError
from headwater.core.flow import Flow
from headwater.core.flow_runs import serving
from headwater.core.signals import Signal
from headwater.core.states import Cancelled, Failed, Pending, Running, Scheduled, State
from headwater.core.task import Task
from headwater.engine.drive import Drive
from headwater.engine.events import NO_REF, Event, Given
from headwater.engine.inputs import measure
from headwater.engine.ledger import Ledger, ledger_of
from headwater.engine.machine import Run
from headwater.engine.plan import Plan, make_plan
from headwater.engine.resume import resume
from headwater.engine.run import TaskRun
from headwater.executors.base import Executor
from headwater.executors.failures import summary_of
from headwater.executors.inline import Stored, loaded
from headwater.executors.local import LocalExecutor
from headwater.executors.program import RunInfo
from headwater.run_children import LocalFlowRuns
from headwater.run_on_schedule import run_on_schedule as schedule_runs

LOG_FORMAT = "[%(asctime)s] %(levelname)s - %(name)s | %(message)s"

logger = logging.getLogger("headwater.flow")

Observe = Callable[[Run, Event], None]


def run_flow(
    flow: Flow,
    parameters: Mapping[str, Any],
    *,
    executor: Executor | None = None,
    name: str | None = None,
    observe: Observe | None = None,
    context: Mapping[str, Any] | None = None,
    run_on_schedule: bool | None = None,
    task_states: Mapping[Task, State] | None = None,
    resume_from: Ledger | None = None,
    resume_again: Sequence[str] = (),
    on_ledger: Callable[[Ledger], None] | None = None,
) -> State:
    """Run a flow to its end and return its final state; `state.result` is `{task: State}` for every task.

    *observe* is told of every event after the run has taken it in; *context* is added to `headwater.context` in every
    task. Tasks whose finished state is in *task_states* are not run: their results are taken from there. With
    *resume_from*, the ledger of an earlier run, only what did not succeed then is run, the tasks of the slugs
    *resume_again*, and what follows them; *on_ledger* is given the ledger of this run at its end. A flow with a
    schedule is run at each of its times, unless *run_on_schedule* is False. Raises ParameterError, FlowError and, when
    results that are read again were not stored, ResumeError before anything runs.
    """
    if current.get("loading_flow"):
        logger.warning("Flow '%s': run() does nothing while its file is being loaded for another run.", flow.name)
        return Pending("The flow is being loaded; its run() was skipped.")
    if flow.schedule is not None and run_on_schedule is not False:
        _log_to_people()

        def run_once(given: Mapping[str, Any], start_time: datetime) -> State:
            more = {**(context or {}), "scheduled_start_time": start_time}
            return run_flow(
                flow, given, executor=executor, name=name, observe=observe, context=more, run_on_schedule=False
            )

        return schedule_runs(flow, parameters, run_once)
    values = flow.check_parameters(parameters)
    run = Run(make_plan(flow))
    drive = Drive(run, observe=(lambda event: observe(run, event)) if observe else None, ask=_asker())
    given = _given(flow, run.plan, task_states or {})
    if resume_from is not None:
        given = resume(resume_from, run.plan, lambda stored: Stored(*stored), resume_again, given)
    info = RunInfo(flow.name, name or flow.name, values, extra=_checked(context), given=given)
    _log_to_people()
    logger.info("Beginning Flow run for '%s'", flow.name)
    begun = begin_flow(flow, info)
    if not begun.is_running():
        return begun
    children = LocalFlowRuns(info.flow_run_name, _run_child)
    with serving(children):
        (executor or LocalExecutor()).execute(flow, drive, info)
    children.close()
    if on_ledger is not None:
        on_ledger(ledger_of(run))
    final = end_flow(flow, run, info)
    log_end(run)
    return final


def _run_child(flow: Flow, parameters: Mapping[str, Any], name: str, context: Mapping[str, Any]) -> State:
    return run_flow(flow, parameters, executor=flow.executor, name=name, context=context, run_on_schedule=False)


def _checked(given: Mapping[str, Any] | None) -> dict[str, Any]:
    values = dict(given or {})
    try:
        dates(0.0, values.get("date"))
    except (ValueError, AttributeError) as error:
        raise FlowError(f"flow.run(context=...): {error}") from None
    return values


def _given(flow: Flow, plan: Plan, states: Mapping[Task, State]) -> dict[int, Given]:
    place = {task: number for number, task in enumerate(flow.tasks)}
    found = {}
    for task, state in states.items():
        if task not in place:
            raise FlowError(f'task_states: flow "{flow.name}" has no task "{getattr(task, "name", task)}".')
        if not isinstance(state, State) or not state.is_finished() or state.is_mapped():
            raise FlowError(
                f'task_states: task "{task.name}" has {state!r}; give a finished state, such as Success(result=...).'
            )
        i, good = place[task], state.is_successful()
        length = measure(state.result, plan.tasks[i].measure)
        found[i] = Given(state.bare(), state.result, length) if good else Given(state)
    return found


# The flow's own states


def begin_flow(flow: Flow, info: RunInfo) -> State:
    """Let the flow's state handlers see it begin; return the state that they leave it in."""
    return _enter(flow, Scheduled("About to run."), Running("Running flow."), info)


def end_flow(flow: Flow, run: Run, info: RunInfo) -> State:
    """Return the state of a finished run with the state of each task, and each value, in it.

    The flow's terminal_state_handler and state handlers may choose another state; the tasks' states stay in it.
    """
    tasks = {task: _with_result(task_run) for task, task_run in zip(flow.tasks, run.tasks, strict=True)}
    state = run.state
    state.result = tasks
    if flow.terminal_state_handler is not None:
        reference = [tasks[task] for task in flow.reference_tasks()]
        handler = flow.terminal_state_handler
        state = _asked(flow, functools.partial(handler, flow, state, reference), state)
    state = _enter(flow, Running("Running flow."), state, info)
    if not isinstance(state.result, dict):
        state.result = tasks
    run.state = state
    return state


def _with_result(task: TaskRun) -> State:
    state = task.state
    if task.children is not None:
        states = [_with_result(child) for child in task.children]
        state.map_states = states  # type: ignore[attr-defined]  # children are those of a Mapped task
        state.result = [child.result for child in states]
    elif state.is_successful() and task.ref is not NO_REF:
        # A state of its own: the task runs that simply succeeded share theirs.
        state = copy.copy(state)
        state.result = _value_of(task.ref)
    return state


def _value_of(ref: Any) -> Any:
    try:
        return loaded(ref)
    except Exception as error:
        logger.warning("A result of an earlier run cannot be read and reads as None: %s", summary_of(error))
        return None


def _enter(flow: Flow, old: State, new: State, info: RunInfo) -> State:
    if not flow.state_handlers and flow.on_failure is None:
        return new
    given = {"flow_name": info.flow_name, "flow_run_name": info.flow_run_name, "parameters": info.parameters}
    with current(**dates(info.started_at, info.extra.get("date")), **given, logger=logger):
        for handler in flow.state_handlers:
            new = _asked(flow, functools.partial(handler, flow, old, new), new)
        if flow.on_failure is not None and new.is_failed():
            _asked(flow, functools.partial(flow.on_failure, flow, new), new)
    return new


def _asked(flow: Flow, ask: Callable[[], Any], state: State) -> State:
    """Return the state that a handler wants, the given one when it wants none; Failed when it raises."""
    try:
        answer = ask()
    except Signal as signal:
        return signal.state()
    except Exception as error:
        logger.exception("Flow '%s': A state handler raised an exception.", flow.name)
        return Failed(f"A state handler raised {summary_of(error)}", state.result)
    return answer if isinstance(answer, State) else state


def log_end(run: Run) -> None:
    """Log how a run ended, in the words that people know."""
    if run.state.is_successful():
        logger.info("Flow run SUCCESS: %s", _lowered(run.state.message or "it succeeded"))
    elif isinstance(run.state, Cancelled):
        logger.warning("Flow run CANCELLED: %s", _lowered(run.state.message or "somebody asked for it"))
    else:
        logger.error("Flow run FAILED: %s", _lowered(run.state.message or "it did not succeed"))


def _lowered(words: str) -> str:
    return words[:1].lower() + words[1:].rstrip(".") if words.startswith(("All", "No", "Some")) else words


def _asker() -> Callable[[str, str], bool] | None:
    """How to ask the person at the terminal, if there is one."""
    if not sys.stdin or not sys.stdin.isatty():
        return None

    def ask(task: str, message: str) -> bool:
        answer = input(f"Task '{task}' is paused. {message}\nenter 'y' to resume, anything else to stop: ")
        return answer.strip().lower() in ("y", "yes")

    return ask


def _log_to_people() -> None:
    """Let the run be seen when the program has set up no logging of its own."""
    ours = logging.getLogger("headwater")
    if ours.hasHandlers():
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
