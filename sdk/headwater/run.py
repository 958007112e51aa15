"""`flow.run()`: one run of a flow from this process, with an executor."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from headwater.core.context import context
from headwater.core.flow import Flow
from headwater.core.states import Pending, State
from headwater.engine.drive import Drive
from headwater.engine.events import Event
from headwater.engine.machine import Run
from headwater.engine.plan import make_plan
from headwater.executors.base import Executor
from headwater.executors.local import LocalExecutor
from headwater.executors.work import RunInfo

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
) -> State:
    """Run a flow to its end and return its final state; `state.result` is `{task: State}` for every task.

    *observe* is told of every event after the run has taken it in. Raises ParameterError and
    FlowError before anything runs.
    """
    if context.get("loading_flow"):
        logger.warning("Flow '%s': run() does nothing while its file is being loaded for another run.", flow.name)
        return Pending("The flow is being loaded; its run() was skipped.")
    values = flow.check_parameters(parameters)
    run = Run(make_plan(flow))
    drive = Drive(run, observe=(lambda event: observe(run, event)) if observe else None)
    info = RunInfo(flow.name, name or flow.name, values)
    _log_to_people()
    logger.info("Beginning Flow run for '%s'", flow.name)
    (executor or LocalExecutor()).execute(flow, drive, info)
    log_end(run)
    return final_state(flow, run)


def final_state(flow: Flow, run: Run) -> State:
    """Return the state of a finished run with the state of each task, and each value, in it."""
    for task_run in run.tasks:
        if task_run.state.is_successful():
            task_run.state.result = task_run.ref
    run.state.result = {task: task_run.state for task, task_run in zip(flow.tasks, run.tasks, strict=True)}
    return run.state


def log_end(run: Run) -> None:
    """Log how a run ended, in the words that people know."""
    if run.state.is_successful():
        logger.info("Flow run SUCCESS: all reference tasks succeeded")
    else:
        logger.error("Flow run FAILED: some reference tasks failed.")


def _log_to_people() -> None:
    """Let the run be seen when the program has set up no logging of its own."""
    ours = logging.getLogger("headwater")
    if ours.hasHandlers():
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
