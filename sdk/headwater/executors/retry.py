"""Whether a task run that did not succeed is run again, and when. Pure, but for the user's own condition."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from headwater.core.signals import Signal
from headwater.core.states import Failed, Retrying, State, TimedOut
from headwater.core.task import Task
from headwater.engine.machine import retrying
from headwater.engine.plan import retry_delays


def judge(task: Task, state: State, number: int, now: float, key: str) -> State:
    """Return the state itself, or Retrying in its place.

    *number* is the run that has just ended, from 1. *key* makes the jitter: the same for the same run of the same
    task, different for others, so that a thousand children that fail together do not come back together.
    """
    if isinstance(state, Retrying):
        at = state.start_time.timestamp() if state.start_time is not None else now + delay_seconds(task, number, key)
        return Retrying(state.message, start_time=datetime.fromtimestamp(at, UTC), run_count=number)
    if not isinstance(state, Failed) or number > task.max_retries or not _wanted(task, state):
        return state
    return retrying(number, task.max_retries, state.message, now + delay_seconds(task, number, key))


def delay_seconds(task: Task, number: int, key: str) -> float:
    """Return how long to wait after a run, its jitter included: up to so much of the delay longer."""
    delays = retry_delays(task)
    delay = delays[min(number, len(delays)) - 1]
    return delay * (1 + (task.retry_jitter or 0.0) * random.Random(f"{key}/{number}").random())


def _wanted(task: Task, state: State) -> bool:
    error = state.result
    if task.retry_on is not None and not isinstance(error, task.retry_on):
        return False
    if task.retry_condition is None:
        return True
    try:
        return bool(task.retry_condition(task, error))
    except (Exception, Signal):
        task.logger.exception("Task '%s': its retry_condition raised; the run is not repeated.", task.name)
        return False


def timed_out(task: Task, error: BaseException) -> State:
    """Return the state of a task run that took too long."""
    task.logger.error("Task '%s': it took longer than its timeout, %g s.", task.name, task.timeout or 0)
    return TimedOut(f"It took longer than its timeout, {task.timeout:g} s.", error)
