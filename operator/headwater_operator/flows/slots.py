"""Which times of a clock are due: made, made up for, or left out, as `catchUp` says. Pure.

Skip     a slot that was missed by more than GRACE is left out
Latest   of several that are due, on time or not, only the newest is made
All      every one is, a few at a time
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from headwater.schedules.clocks import Clock

# So long after its time a slot is still on time: the operator may be starting, or busy.
GRACE = timedelta(seconds=60)

# So many missed slots are made up for at a time.
AT_A_TIME = 20

# Those that are left out are counted so far.
MOST_COUNTED = 100

# To find the newest slot before now: the last minute, hour, day, month, year, all.
SPANS = tuple(timedelta(seconds=s) for s in (60, 3600, 86_400, 32 * 86_400, 367 * 86_400))


@dataclass(frozen=True)
class Slots:
    """*due* are to have a run; everything until *last* is handled then, and *next* is the first after that. *more* are
    to be made up for in a moment; *missed* counts those that are left out, up to MOST_COUNTED."""

    due: tuple[datetime, ...]
    last: datetime
    next: datetime | None
    more: bool = False
    missed: int = 0


def slots_due(clock: Clock, catch_up: str, last: datetime, now: datetime) -> Slots:
    """Decide what is due of the slots after *last*, the newest that was handled."""
    first = next(slots_after(clock, last), None)
    if first is None or first > now:
        # Mostly nothing is due, and to know it takes but one look into the calendar.
        return Slots((), last, first)
    coming = next(slots_after(clock, now), None)
    if catch_up == "All":
        missed = tuple(islice(_until(clock, last, now), AT_A_TIME + 1))
        if len(missed) > AT_A_TIME:
            return Slots(missed[:AT_A_TIME], missed[AT_A_TIME - 1], missed[AT_A_TIME], more=True)
        return Slots(missed, missed[-1], coming)
    newest = _newest(clock, last, now)
    assert newest is not None, "the first is one"
    if catch_up == "Latest":
        return Slots((newest,), newest, coming, missed=_count(clock, last, newest - timedelta(seconds=1)))
    since = max(last, now - GRACE)
    return Slots(tuple(_until(clock, since, now)), newest, coming, missed=_count(clock, last, since))


def slots_after(clock: Clock, after: datetime) -> Iterator[datetime]:
    """Yield the times of a clock after a moment, in UTC and in whole seconds, as names and statuses hold them."""
    last = after
    for event in clock.events(after):
        slot = event.start_time.astimezone(UTC).replace(microsecond=0)
        if slot > last:
            last = slot
            yield slot


def _newest(clock: Clock, last: datetime, now: datetime) -> datetime | None:
    """Return the newest slot after *last* and not after *now*; found from now backwards, as there may be millions."""
    for span in (*SPANS, None):
        since = last if span is None else max(last, now - span)
        newest = None
        for newest in _until(clock, since, now):  # noqa: B007  # the last one is wanted
            pass
        if newest is not None or since == last:
            return newest
    return None


def _count(clock: Clock, last: datetime, until: datetime) -> int:
    """Count the slots after *last* and not after *until*, up to MOST_COUNTED."""
    return sum(1 for _ in islice(_until(clock, last, until), MOST_COUNTED)) if until > last else 0


def _until(clock: Clock, since: datetime, now: datetime) -> Iterator[datetime]:
    for slot in slots_after(clock, since):
        if slot > now:
            return
        yield slot
