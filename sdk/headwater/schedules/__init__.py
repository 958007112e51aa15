"""When a flow runs: clocks give times, filters leave some out, adjustments move the rest.

    from headwater.schedules import CronSchedule, IntervalClock, Schedule, filters

    flow.schedule = Schedule(
        clocks=[IntervalClock(timedelta(hours=1), start_date=datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")))],
        filters=[filters.is_weekday, filters.between_times(time(9), time(17))],
    )
    flow.schedule.next(5)

A datetime without a time zone is in UTC, wherever one is given. `zones` tells what happens when clocks are put
forward or back; `manifest` turns a schedule into the `spec.schedules` of a Flow resource, and back.
"""

import headwater.schedules.adjustments as adjustments
import headwater.schedules.clocks as clocks
import headwater.schedules.filters as filters
from headwater.schedules.clocks import Clock, ClockEvent, CronClock, DatesClock, IntervalClock, RRuleClock
from headwater.schedules.schedule import CronSchedule, IntervalSchedule, RRuleSchedule, Schedule

__all__ = [
    "Clock",
    "ClockEvent",
    "CronClock",
    "CronSchedule",
    "DatesClock",
    "IntervalClock",
    "IntervalSchedule",
    "RRuleClock",
    "RRuleSchedule",
    "Schedule",
    "adjustments",
    "clocks",
    "filters",
]
