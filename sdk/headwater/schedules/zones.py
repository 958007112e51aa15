"""Time zones, and when a clock on the wall shows a time.

Twice a year most zones make that a question. One rule holds for all clocks of a schedule:

    put forward (a gap)    02:30 is never shown; its slot is as much later as the clock jumps: at 03:30
    put back (a fold)      02:30 is shown twice; its slot is the first of the two
    every hour, by cron    follows what the clock shows: nothing is added for a gap, both times of a fold count

The rule for the gap is that of calendars (RFC 5545). Two slots that fall on one moment are one slot.

Times are compared in UTC throughout: Python compares two datetimes of one zone by what the wall shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, available_timezones

from headwater.core.errors import FlowError

# What is counted from a start is counted from here if there is none.
EPOCH = datetime(2019, 1, 1, tzinfo=UTC)
# No zone has ever jumped further than a day.
FAR = timedelta(hours=25)
# In the database of zones, but what they mean depends on the machine.
NO_ZONES = ("localtime", "posixrules", "Factory")


def find_zone(name: object, what: str = "time zone") -> ZoneInfo:
    """Return the time zone of an IANA name; FlowError, with names that are close, for an unknown one."""
    if not isinstance(name, str):
        raise TypeError(f'{what} is {name!r}; give a name, such as "Europe/Berlin".')
    try:
        if name in NO_ZONES:
            raise KeyError(name)
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise FlowError(f'{what} "{name}" is not known{_close_to(name)}; give an IANA name, "Europe/Berlin".') from None


def in_zone(moment: object, what: str) -> datetime:
    """Return *moment* as a plain datetime with a time zone: UTC, if it comes without one."""
    if not isinstance(moment, datetime):
        raise TypeError(f"{what} is {moment!r}; give a datetime, such as datetime(2026, 1, 31, 9, 0, tzinfo=...).")
    zone = plain_zone(moment.tzinfo, what)
    plain = datetime.combine(moment.date(), moment.time(), zone)
    return plain.astimezone(UTC).astimezone(zone)


def plain_zone(zone: tzinfo | None, what: str) -> tzinfo:
    """Return the standard library's object for *zone*, which may be of another one's making; UTC for None."""
    if zone is None:
        return UTC
    name = getattr(zone, "key", None) or getattr(zone, "zone", None) or _name_of_file(zone)
    if isinstance(name, str):
        return UTC if name == "UTC" else find_zone(name, f"{what}: time zone")
    fixed = zone.utcoffset(None)
    return zone if fixed is None else timezone(fixed)


def _name_of_file(zone: tzinfo) -> str | None:
    """Return the name of a zone that dateutil has read from a file, as its releases before 3 tell no other."""
    _, found, name = str(getattr(zone, "_filename", "")).rpartition("zoneinfo/")
    # All the names are read from the disk each time: that takes 10 ms, and this is asked for every slot.
    return name if found and name in available_timezones() else None


def utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def naive(moment: datetime) -> datetime:
    """Return what the wall shows at *moment*."""
    return moment.replace(tzinfo=None, fold=0)


def zone_of(moment: datetime) -> tzinfo:
    return moment.tzinfo or UTC


def at_wall(wall: datetime, zone: tzinfo) -> datetime:
    """Return when a clock in *zone* shows *wall*: the first time in a fold, as much later as it jumps in a gap."""
    return wall.replace(tzinfo=zone, fold=0).astimezone(UTC).astimezone(zone)


def first_wall(after: datetime, zone: tzinfo) -> datetime:
    """Return the earliest time on the wall whose slot may be later than *after*, a moment in UTC."""
    offsets = [(after + away).astimezone(zone).utcoffset() or timedelta(0) for away in (-FAR, timedelta(0), FAR)]
    return naive(after.astimezone(zone)) - (max(offsets) - min(offsets))


def slots(walls: Iterable[datetime], zone: tzinfo, *, as_shown: bool = False) -> Iterator[datetime]:
    """Yield when a clock in *zone* shows the rising *walls*, each moment later than the one before it.

    *as_shown* counts both times of a fold, and none for a gap.
    """
    last: datetime | None = None
    for group in _groups(walls, zone, as_shown):
        for moment in sorted(group):
            if last is None or moment > last:
                last = moment
                yield moment.astimezone(zone)


def _groups(walls: Iterable[datetime], zone: tzinfo, as_shown: bool) -> Iterator[list[datetime]]:
    # Close to a change of the clock moments do not come in the order of the wall; they are gathered until they do.
    group: list[datetime] = []
    until = datetime.min  # noqa: DTZ901  # on the wall, like all of them
    for wall in walls:
        if group and wall >= until:
            yield group
            group = []
        before, after = _offset(wall, zone, fold=0), _offset(wall, zone, fold=1)
        until = max(until, wall + 2 * abs(before - after))
        if not as_shown or before == after:
            group.append((wall - before).replace(tzinfo=UTC))
        elif before > after:
            group += [(wall - before).replace(tzinfo=UTC), (wall - after).replace(tzinfo=UTC)]
        if until <= wall:
            yield group
            group = []
    yield group


def _offset(wall: datetime, zone: tzinfo, *, fold: int) -> timedelta:
    return wall.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta(0)


def _close_to(name: str) -> str:
    from difflib import get_close_matches

    known = {each.lower(): each for each in available_timezones() if each not in NO_ZONES}
    close = [known[each] for each in get_close_matches(name.lower(), known, n=2)]
    return f" (did you mean {' or '.join(close)}?)" if close else ""
