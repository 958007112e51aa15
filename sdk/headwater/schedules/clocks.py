"""The clocks of a schedule: each gives events, from its start to its end, one later than the other.

`start_date` says three things: when a clock begins, which times an interval is counted from, and in which time zone
the clock is. Without one a clock is in UTC, and an interval counts from 2019-01-01. Start and end belong to the clock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import count
from typing import TYPE_CHECKING, Any

from headwater.core.errors import FlowError
from headwater.schedules.cron import check_cron, cron_walls, is_every_hour
from headwater.schedules.recurrence import Recurrence
from headwater.schedules.zones import EPOCH, first_wall, in_zone, naive, slots, utc, zone_of

if TYPE_CHECKING:
    from dateutil.rrule import rrule, rruleset

# Nothing is scheduled before; it keeps `after=datetime.min` within the calendar.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
TICK = timedelta.resolution


class ClockEvent:
    """A time at which a clock wants a run, and what it wants to be different for that run.

    Two events are equal when they mean the same moment, in whatever zone, with the same parameters and labels; the
    one that is earlier is less.
    """

    def __init__(
        self,
        start_time: datetime,
        parameter_defaults: Mapping[str, Any] | None = None,
        labels: Iterable[str] | None = None,
    ) -> None:
        self.start_time = in_zone(start_time, "start_time")
        self.parameter_defaults = _parameters(parameter_defaults)
        self.labels = _labels(labels)

    def at(self, start_time: datetime) -> ClockEvent:
        """Return this event at another time."""
        return ClockEvent(start_time, self.parameter_defaults, self.labels)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClockEvent) and (
            (utc(self.start_time), self.parameter_defaults, self.labels)
            == (utc(other.start_time), other.parameter_defaults, other.labels)
        )

    def __lt__(self, other: ClockEvent) -> bool:
        return utc(self.start_time) < utc(other.start_time)

    def __hash__(self) -> int:
        return hash(utc(self.start_time))

    def __repr__(self) -> str:
        return f"ClockEvent({self.start_time.isoformat()}, {self.parameter_defaults}, {self.labels})"


class Clock(ABC):
    """What all clocks share; a clock of one's own gives its times in `slots`."""

    def __init__(
        self,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        parameter_defaults: Mapping[str, Any] | None = None,
        labels: Iterable[str] | None = None,
    ) -> None:
        if isinstance(start_date, timedelta):
            raise TypeError(f"start_date is the interval {start_date}; write interval=... before it.")
        self.start_date = None if start_date is None else in_zone(start_date, "start_date")
        self.end_date = None if end_date is None else in_zone(end_date, "end_date")
        self.parameter_defaults = _parameters(parameter_defaults)
        self.labels = _labels(labels)
        self.zone: tzinfo = zone_of(self.start_date) if self.start_date else UTC
        if self.start_date and self.end_date and utc(self.end_date) < utc(self.start_date):
            raise FlowError(
                f"{type(self).__name__} ends ({self.end_date.isoformat()}) before it starts "
                f"({self.start_date.isoformat()}); exchange start_date and end_date."
            )

    @abstractmethod
    def slots(self, after: datetime) -> Iterator[datetime]:
        """Yield times with a time zone, rising, among them all that are later than *after*, a moment in UTC."""

    def events(self, after: datetime | None = None) -> Iterator[ClockEvent]:
        """Yield the events that are later than *after*, which is now if it is not given."""
        asked = datetime.now(UTC) if after is None else utc(in_zone(after, "after"))
        begin = max(asked, EARLIEST - TICK, utc(self.start_date) - TICK if self.start_date else EARLIEST - TICK)
        end = utc(self.end_date) if self.end_date else None
        try:
            for slot in self.slots(begin):
                if end is not None and utc(slot) > end:
                    return
                if utc(slot) > begin:
                    yield ClockEvent(slot, self.parameter_defaults, self.labels)
        except OverflowError:
            return  # the calendar ends in 9999

    def __repr__(self) -> str:
        values = {key: value for key, value in vars(self).items() if value and key not in ("zone", "recurrence")}
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in values.items())})"


class IntervalClock(Clock):
    """A time every *interval*, counted from start_date.

    An interval of a day or more keeps the time on the wall when clocks are put forward or back; a shorter one keeps
    the time that really passes. A daily time that is not shown on one day is as much later as the clock jumps.
    """

    def __init__(
        self,
        interval: timedelta,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        parameter_defaults: Mapping[str, Any] | None = None,
        labels: Iterable[str] | None = None,
    ) -> None:
        if not isinstance(interval, timedelta):
            raise TypeError(f"interval is {interval!r}; give a timedelta, such as timedelta(hours=1).")
        if interval < timedelta(seconds=1):
            raise FlowError(f"interval is {interval.total_seconds():g} seconds; give at least timedelta(seconds=1).")
        super().__init__(start_date, end_date, parameter_defaults, labels)
        self.interval = interval

    def slots(self, after: datetime) -> Iterator[datetime]:
        start = self.start_date or EPOCH
        if self.interval < DAY:
            first = max(0, (after - utc(start)) // self.interval + 1)
            return ((utc(start) + number * self.interval).astimezone(self.zone) for number in count(first))
        return self._days(start, after)

    def _days(self, start: datetime, after: datetime) -> Iterator[datetime]:
        # The start may be the second time that a clock shows it; all others are found on the wall.
        yield start
        wall = naive(start)
        first = max(1, (first_wall(after, self.zone) - wall) // self.interval)
        yield from slots((wall + number * self.interval for number in count(first)), self.zone)


class CronClock(Clock):
    """The times of a cron line with five fields, on the wall of start_date's time zone.

    A time that the wall does not show, because clocks are put forward, is as much later as the clock jumps: 02:30 is
    at 03:30. A time that it shows twice is taken once, the first time. Only a line for every hour ("0 * * * *",
    "*/5 * * * *") goes by what the wall shows at each moment: no real hour is left out, none has two turns.

    Where a line names days of the month and days of the week, either is enough; with day_or=False a day must be both.
    """

    def __init__(
        self,
        cron: str,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        parameter_defaults: Mapping[str, Any] | None = None,
        labels: Iterable[str] | None = None,
        day_or: bool = True,
    ) -> None:
        super().__init__(start_date, end_date, parameter_defaults, labels)
        self.cron = check_cron(cron, day_or)
        self.day_or = day_or

    def slots(self, after: datetime) -> Iterator[datetime]:
        walls = cron_walls(self.cron, self.day_or, first_wall(after, self.zone))
        return slots(walls, self.zone, as_shown=is_every_hour(self.cron))


class DatesClock(Clock):
    """The given times, each in its own time zone."""

    def __init__(
        self,
        dates: Iterable[datetime],
        parameter_defaults: Mapping[str, Any] | None = None,
        labels: Iterable[str] | None = None,
    ) -> None:
        if isinstance(dates, (str, datetime)) or not isinstance(dates, Iterable):
            raise TypeError(f"dates is {dates!r}; give a list of datetimes.")
        # Of two that are one moment the first is kept.
        moments = [in_zone(date, f"dates[{at}]") for at, date in enumerate(dates)]
        self.dates = sorted({utc(moment): moment for moment in reversed(moments)}.values(), key=utc)
        if not self.dates:
            raise FlowError("DatesClock has no dates; give at least one.")
        super().__init__(self.dates[0], self.dates[-1], parameter_defaults, labels)

    def slots(self, after: datetime) -> Iterator[datetime]:
        return iter(self.dates)


class RRuleClock(Clock):
    """The dates of a recurrence rule of dateutil, a `rrule` or a `rruleset`.

    They are times on the wall of the rule's time zone; for a rule without one, of start_date's. A date that the wall
    does not show is as much later as the clock jumps; one that it shows twice is taken once, so a rule for every hour
    leaves one real hour out in autumn: an IntervalClock does not. Give the rule a dtstart: it is now without one.
    """

    def __init__(
        self,
        rrule_obj: rrule | rruleset,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        parameter_defaults: Mapping[str, Any] | None = None,
        labels: Iterable[str] | None = None,
    ) -> None:
        super().__init__(start_date, end_date, parameter_defaults, labels)
        self.rrule_obj = rrule_obj
        self.recurrence = Recurrence(rrule_obj)
        self.zone = self.recurrence.zone or self.zone

    def slots(self, after: datetime) -> Iterator[datetime]:
        return slots(self.recurrence.walls(first_wall(after, self.zone)), self.zone)


def _parameters(values: Mapping[str, Any] | None) -> dict[str, Any]:
    if values is None:
        return {}
    if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
        raise TypeError(f"parameter_defaults is {values!r}; give a dict from names of parameters to values.")
    return dict(values)


def _labels(labels: Iterable[str] | None) -> list[str] | None:
    if labels is None:
        return None
    found = None if isinstance(labels, str) else list(labels)
    if found is None or not all(isinstance(label, str) for label in found):
        raise TypeError(f'labels is {labels!r}; give a list of texts, such as ["prod"].')
    return found
