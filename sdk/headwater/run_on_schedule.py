"""`flow.run()` of a flow with a schedule: one run after another, each at its time, until the schedule ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headwater.core.errors import FlowError
from headwater.core.states import Scheduled, State

if TYPE_CHECKING:
    from headwater.core.flow import Flow
    from headwater.schedules import ClockEvent

logger = logging.getLogger("headwater.flow")

# Waits are cut into pieces, so that a clock that is set does not make them longer than they are meant.
LONGEST_WAIT_SECONDS = 30.0

RunOnce = Callable[[Mapping[str, Any], datetime], State]


def run_on_schedule(flow: Flow, parameters: Mapping[str, Any], run_once: RunOnce) -> State:
    """Run a flow at each time of its schedule; return the last run's state, Scheduled when there was none.

    Parameters that are given go before those of a clock, those before the flow's own defaults. A time that passes
    while a run is under way is left out. Raises FlowError for a schedule that is none.
    """
    if not hasattr(flow.schedule, "next"):
        raise FlowError(
            f'Flow "{flow.name}" has a schedule of type {type(flow.schedule).__name__}; '
            "make one with headwater.schedules, such as CronSchedule('0 * * * *')."
        )
    state: State = Scheduled("The schedule holds no more times.")
    after = datetime.now(UTC)
    while event := _next(flow, after):
        logger.info("Waiting for next scheduled run at %s", event.start_time.isoformat())
        wait_until(event.start_time)
        state = run_once({**(event.parameter_defaults or {}), **parameters}, event.start_time)
        after = max(event.start_time, datetime.now(UTC))
    return state


def _next(flow: Flow, after: datetime) -> ClockEvent | None:
    found: list[ClockEvent] = flow.schedule.next(1, after=after, return_events=True)
    return found[0] if found else None


def wait_until(moment: datetime) -> None:
    while (left := (moment - datetime.now(UTC)).total_seconds()) > 0:
        time.sleep(min(left, LONGEST_WAIT_SECONDS))
