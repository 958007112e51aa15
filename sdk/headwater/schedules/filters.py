"""Conditions on a slot, for the `filters`, `or_filters` and `not_filters` of a Schedule.

They look at the time on the wall in the zone of the clock. Any function from a datetime to yes or no is a filter too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import partial

from headwater.core.errors import FlowError
from headwater.schedules.zones import in_zone, utc


@dataclass(frozen=True)
class Filter:
    """A condition with its name, and how a Flow resource, which cannot hold it, says the same."""

    name: str
    accepts: Callable[[datetime], bool]
    instead: str

    def __call__(self, slot: datetime) -> bool:
        return self.accepts(slot)

    def __repr__(self) -> str:
        return self.name


def on_datetime(dt: datetime) -> Filter:
    """Accept this moment only; without a time zone it is in UTC."""
    moment = utc(in_zone(dt, "dt"))
    return Filter(f"on_datetime({dt})", partial(_between_moments, moment, moment), "a DatesClock with this time")


def on_date(month: int, day: int) -> Filter:
    """Accept this day of any year."""
    _check_day(month, day)
    return Filter(
        f"on_date({month}, {day})", partial(_on_date, month, day), f'a CronClock that ends "... {day} {month} *"'
    )


def at_time(t: time) -> Filter:
    """Accept this time of the day only, to the second."""
    _check_time("t", t)
    cron = f'"{t.minute} {t.hour} * * *"' if t == time(t.hour, t.minute) else 'that begins "minute hour ..."'
    return Filter(f"at_time({t})", partial(_at_time, t), f"a CronClock {cron}")


def between_datetimes(start: datetime, end: datetime) -> Filter:
    """Accept moments from *start* to *end*, both included; without a time zone they are in UTC."""
    first, last = in_zone(start, "start"), in_zone(end, "end")
    if utc(last) < utc(first):
        raise FlowError(f"between_datetimes ends ({last}) before it starts ({first}); exchange start and end.")
    return Filter(
        f"between_datetimes({start}, {end})",
        partial(_between_moments, utc(first), utc(last)),
        "the start_date and end_date of the clock",
    )


def between_dates(start_month: int, start_day: int, end_month: int, end_day: int) -> Filter:
    """Accept days of any year from the first to the last, both included; October to March goes over new year."""
    _check_day(start_month, start_day)
    _check_day(end_month, end_day)
    return Filter(
        f"between_dates({start_month}, {start_day}, {end_month}, {end_day})",
        partial(_between_days, (start_month, start_day), (end_month, end_day)),
        "CronClocks whose day of month and month name these days",
    )


def between_times(start: time, end: time) -> Filter:
    """Accept times of the day from *start* to *end*, both included; 22:00 to 06:00 goes over midnight."""
    _check_time("start", start)
    _check_time("end", end)
    return Filter(
        f"between_times({start}, {end})",
        partial(_between_times, start, end),
        'CronClocks whose hour names these hours, such as "0 9-17 * * *"',
    )


def is_day_of_week(day_of_week: int) -> Filter:
    """Accept one day of the week, counted as in cron: 0 is Sunday, 6 is Saturday."""
    if isinstance(day_of_week, bool) or not isinstance(day_of_week, int) or not 0 <= day_of_week <= 6:
        raise FlowError(f"day_of_week is {day_of_week!r}; give 0 for Sunday to 6 for Saturday.")
    return Filter(
        f"is_day_of_week({day_of_week})",
        partial(_is_day_of_week, day_of_week),
        f'a CronClock that ends "... * * {day_of_week}"',
    )


def _on_date(month: int, day: int, slot: datetime) -> bool:
    return (slot.month, slot.day) == (month, day)


def _at_time(t: time, slot: datetime) -> bool:
    return slot.time() == t


def _between_moments(first: datetime, last: datetime, slot: datetime) -> bool:
    return first <= utc(slot) <= last


def _between_days(first: tuple[int, int], last: tuple[int, int], slot: datetime) -> bool:
    day = (slot.month, slot.day)
    return first <= day <= last if first <= last else day >= first or day <= last


def _between_times(start: time, end: time, slot: datetime) -> bool:
    shown = slot.time()
    return start <= shown <= end if start <= end else shown >= start or shown <= end


def _is_day_of_week(day_of_week: int, slot: datetime) -> bool:
    return slot.isoweekday() % 7 == day_of_week


def _is_weekday(slot: datetime) -> bool:
    return slot.weekday() < 5


def _is_weekend(slot: datetime) -> bool:
    return slot.weekday() >= 5


def _is_month_end(slot: datetime) -> bool:
    return (slot.date() + timedelta(days=1)).day == 1


def _is_month_start(slot: datetime) -> bool:
    return slot.day == 1


def _check_day(month: int, day: int) -> None:
    try:
        date(2000, month, day)  # a leap year
    except ValueError:
        raise FlowError(f"No year has a day {day} in month {month}; give the month first, from 1 to 12.") from None


def _check_time(name: str, value: object) -> None:
    if not isinstance(value, time):
        raise TypeError(f"{name} is {value!r}; give a time, such as time(9, 30).")
    if value.tzinfo is not None:
        raise FlowError(f"{name} is {value} with a time zone; give it without, the clock's zone counts.")


is_weekday = Filter("is_weekday", _is_weekday, 'a CronClock that ends "... * * 1-5"')
is_weekend = Filter("is_weekend", _is_weekend, 'a CronClock that ends "... * * 0,6"')
is_month_end = Filter("is_month_end", _is_month_end, 'a CronClock that ends "... L * *"')
is_month_start = Filter("is_month_start", _is_month_start, 'a CronClock that ends "... 1 * *"')
