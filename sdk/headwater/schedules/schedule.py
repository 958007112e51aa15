"""A schedule: the events of its clocks, less what its filters refuse, each moved by its adjustments."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from typing import TYPE_CHECKING, Any, Literal, overload

from headwater.core.errors import FlowError
from headwater.schedules.clocks import EARLIEST, Clock, ClockEvent, CronClock, IntervalClock, RRuleClock
from headwater.schedules.zones import in_zone, utc

if TYPE_CHECKING:
    from dateutil.rrule import rrule, rruleset

SlotFilter = Callable[[datetime], bool]
SlotAdjustment = Callable[[datetime], datetime]

# So many candidates in a row may be refused; the next one might never be accepted either.
PATIENCE = 10_000

logger = logging.getLogger("headwater.schedules")


class Schedule:
    """When a flow runs.

    A slot of a clock counts if all *filters*, any of the *or_filters* (if there are some) and none of the
    *not_filters* accept it. Then the *adjustments* move it, one after the other. Each event is given once, however
    many clocks have it; clocks with different parameters or labels at one moment give an event each.
    """

    def __init__(
        self,
        clocks: Iterable[Clock],
        filters: Iterable[SlotFilter] | None = None,
        or_filters: Iterable[SlotFilter] | None = None,
        not_filters: Iterable[SlotFilter] | None = None,
        adjustments: Iterable[SlotAdjustment] | None = None,
    ) -> None:
        self.clocks = _check_clocks(clocks)
        self.filters: list[SlotFilter] = _check_functions("filters", filters)
        self.or_filters: list[SlotFilter] = _check_functions("or_filters", or_filters)
        self.not_filters: list[SlotFilter] = _check_functions("not_filters", not_filters)
        self.adjustments: list[SlotAdjustment] = _check_functions("adjustments", adjustments)

    @overload
    def next(self, n: int, after: datetime | None = None, return_events: Literal[False] = False) -> list[datetime]: ...

    @overload
    def next(self, n: int, after: datetime | None = None, *, return_events: Literal[True]) -> list[ClockEvent]: ...

    @overload
    def next(
        self, n: int, after: datetime | None = None, return_events: bool = False
    ) -> list[datetime] | list[ClockEvent]: ...

    def next(
        self, n: int, after: datetime | None = None, return_events: bool = False
    ) -> list[datetime] | list[ClockEvent]:
        """Return the *n* times, or events, that come first after *after*, which is now if it is not given.

        Times rise strictly, each in the zone of its clock; of several events at one moment only the events tell.
        There are fewer than *n* when the clocks end, or when the filters have refused 10,000 slots in a row.
        """
        if isinstance(n, bool) or not isinstance(n, int):
            raise TypeError(f"n is {n!r}; give how many times you want, as a whole number.")
        if n < 0:
            raise FlowError(f"n is {n}; give how many times you want, 0 or more.")
        moment = datetime.now(UTC) if after is None else utc(in_zone(after, "after"))
        events = self._events(max(moment, EARLIEST - timedelta.resolution))
        if return_events:
            return list(islice(events, n))
        return list(islice(_times(events), n))

    def _events(self, after: datetime) -> Iterator[ClockEvent]:
        seen: list[ClockEvent] = []  # those of the latest moment
        for event in self._in_order(after):
            if seen and event < seen[0]:
                continue  # moved back behind one that is given already
            if seen and seen[0] < event:
                seen = []
            if event not in seen:
                seen.append(event)
                yield event

    def _in_order(self, after: datetime) -> Iterator[ClockEvent]:
        earliest, latest = self._bounds()
        number = count()
        moved: list[tuple[datetime, int, ClockEvent]] = []
        for event in self._accepted(after - latest):
            adjusted = self._adjusted(event)
            if utc(adjusted.start_time) > after:
                heapq.heappush(moved, (utc(adjusted.start_time), next(number), adjusted))
            # All that come later are moved to this moment at the earliest.
            while moved and moved[0][0] <= utc(event.start_time) + earliest:
                yield heapq.heappop(moved)[2]
        while moved:
            yield heapq.heappop(moved)[2]

    def _accepted(self, after: datetime) -> Iterator[ClockEvent]:
        refused = 0
        for event in heapq.merge(*(clock.events(after) for clock in self.clocks)):
            if self._accepts(event.start_time):
                refused = 0
                yield event
                continue
            refused += 1
            if refused == PATIENCE:
                logger.warning(
                    "schedule gives up: its filters refused %d slots in a row, up to %s; "
                    "choose clocks that are closer to the filters",
                    PATIENCE,
                    event.start_time.isoformat(),
                )
                return

    def _accepts(self, slot: datetime) -> bool:
        return (
            all(_verdict(accepts, slot) for accepts in self.filters)
            and (not self.or_filters or any(_verdict(accepts, slot) for accepts in self.or_filters))
            and not any(_verdict(accepts, slot) for accepts in self.not_filters)
        )

    def _adjusted(self, event: ClockEvent) -> ClockEvent:
        slot = event.start_time
        for adjust in self.adjustments:
            slot = in_zone(adjust(slot), f"what adjustment {_name(adjust)} gives")
        return event.at(slot) if self.adjustments else event

    def _bounds(self) -> tuple[timedelta, timedelta]:
        none = timedelta(0)
        earliest = sum((getattr(adjust, "earliest", none) for adjust in self.adjustments), none)
        latest = sum((getattr(adjust, "latest", none) for adjust in self.adjustments), none)
        return earliest, latest

    def __repr__(self) -> str:
        given = ", ".join(f"{key}={value}" for key, value in vars(self).items() if value)
        return f"{type(self).__name__}({given})"


class IntervalSchedule(Schedule):
    """A schedule with one IntervalClock; start_date comes first here."""

    def __init__(
        self,
        start_date: datetime | None = None,
        interval: timedelta | None = None,
        end_date: datetime | None = None,
    ) -> None:
        if isinstance(start_date, timedelta):
            raise TypeError(f"start_date is the interval {start_date}; IntervalSchedule takes interval=... second.")
        if interval is None:
            raise TypeError("IntervalSchedule has no interval; give one, such as interval=timedelta(hours=1).")
        super().__init__([IntervalClock(interval, start_date, end_date)])


class CronSchedule(Schedule):
    """A schedule with one CronClock."""

    def __init__(
        self, cron: str, start_date: datetime | None = None, end_date: datetime | None = None, day_or: bool = True
    ) -> None:
        super().__init__([CronClock(cron, start_date, end_date, day_or=day_or)])


class RRuleSchedule(Schedule):
    """A schedule with one RRuleClock."""

    def __init__(
        self, rrule_obj: rrule | rruleset, start_date: datetime | None = None, end_date: datetime | None = None
    ) -> None:
        super().__init__([RRuleClock(rrule_obj, start_date, end_date)])


def _times(events: Iterator[ClockEvent]) -> Iterator[datetime]:
    last: ClockEvent | None = None
    for event in events:
        if last is None or last < event:
            yield event.start_time
        last = event


def _verdict(accepts: SlotFilter, slot: datetime) -> bool:
    verdict = accepts(slot)
    if callable(verdict):
        raise TypeError(
            f"filter {_name(accepts)} gives a function where yes or no is expected; call it in the schedule, "
            f"{_name(accepts)}(...)."
        )
    return bool(verdict)


def _check_clocks(clocks: Iterable[Clock]) -> list[Clock]:
    if isinstance(clocks, (Clock, str)) or not isinstance(clocks, Iterable):
        raise TypeError(f"clocks is {clocks!r}; give a list of clocks, such as [CronClock(...)].")
    found = list(clocks)
    for at, clock in enumerate(found):
        if isinstance(clock, Schedule):
            raise TypeError(f"clocks[{at}] is a schedule; give its clocks: clocks=[*schedule.clocks].")
        if not isinstance(clock, Clock):
            raise TypeError(f"clocks[{at}] is {clock!r}; give a clock, such as CronClock(...).")
    if not found:
        raise FlowError("A schedule has no clocks; give one, such as CronClock(...), or no schedule at all.")
    return found


def _check_functions(what: str, functions: Iterable[Callable[..., Any]] | None) -> list[Callable[..., Any]]:
    if functions is None:
        return []
    if callable(functions) or isinstance(functions, str) or not isinstance(functions, Iterable):
        raise TypeError(f"{what} is {functions!r}; give a list of functions.")
    found = list(functions)
    for at, function in enumerate(found):
        if not callable(function):
            raise TypeError(f"{what}[{at}] is {function!r}; give a function that takes a datetime.")
    return found


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", None) or repr(function)
