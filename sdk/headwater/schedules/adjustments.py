"""Moves of a slot that has passed the filters, for the `adjustments` of a Schedule.

Any function from a datetime to a datetime is an adjustment too. Slots must keep their order. One that moves slots to
later times has an attribute `latest`, the timedelta that it moves them by at most: without it a slot is not found
that lies before the time asked for and is moved behind it. `earliest`, likewise, for one that moves them back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from headwater.schedules.zones import at_wall, naive, utc, zone_of

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Adjustment:
    """A move with its name, its bounds, and how a Flow resource, which cannot hold it, says the same."""

    name: str
    move: Callable[[datetime], datetime]
    earliest: timedelta
    latest: timedelta
    instead: str

    def __call__(self, slot: datetime) -> datetime:
        return self.move(slot)

    def __repr__(self) -> str:
        return self.name


def add(interval: timedelta) -> Adjustment:
    """Move slots by *interval*: on the wall if it is a day or more, by the time that really passes if it is less."""
    if not isinstance(interval, timedelta):
        raise TypeError(f"interval is {interval!r}; give a timedelta, such as timedelta(hours=1).")
    by_wall = abs(interval) >= DAY
    return Adjustment(
        f"add({interval})",
        partial(_add_on_wall if by_wall else _add, interval),
        interval - DAY if by_wall else interval,
        interval + DAY if by_wall else interval,
        "a clock that is that much later",
    )


def _add(interval: timedelta, slot: datetime) -> datetime:
    return (utc(slot) + interval).astimezone(zone_of(slot))


def _add_on_wall(interval: timedelta, slot: datetime) -> datetime:
    return at_wall(naive(slot) + interval, zone_of(slot))


def _next_weekday(slot: datetime) -> datetime:
    return slot if slot.weekday() < 5 else _add_on_wall((7 - slot.weekday()) * DAY, slot)


next_weekday = Adjustment(
    "next_weekday", _next_weekday, timedelta(0), 3 * DAY, "a DatesClock with the times of schedule.next(...)"
)
