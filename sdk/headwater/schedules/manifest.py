"""A schedule as the `spec.schedules` of a Flow resource, a list with an entry per clock, and back.

    name        clock-1, clock-2, ... in the order of the clocks
    cron | interval | rrule | dates       one of them: "0 9 * * 1-5", "1d12h", RFC 5545, a list of RFC 3339 times
    timeZone    whose wall the times are on; an IANA name, default UTC
    startDate   RFC 3339; what an interval, or an rrule without DTSTART, is counted from. Default 2019-01-01 00:00 in
                timeZone
    endDate     RFC 3339; nothing after it
    parameters  for the runs of this entry
    labels      likewise

An rrule says its DTSTART, and its UNTIL, without a zone; they are on the wall of timeZone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from headwater.core.errors import FlowError
from headwater.schedules.clocks import Clock, CronClock, DatesClock, IntervalClock, RRuleClock
from headwater.schedules.cron import restricts_both_days
from headwater.schedules.limited import TookTooLongError
from headwater.schedules.recurrence import Recurrence, parse_rule
from headwater.schedules.schedule import Schedule
from headwater.schedules.zones import EPOCH, at_wall, find_zone, naive, utc, zone_of

KINDS = ("cron", "interval", "rrule", "dates")
# What the operator reads, and a clock does not know.
OTHERS = ("name", "catchUp", "suspend")
FIELDS = (*KINDS, *OTHERS, "timeZone", "startDate", "endDate", "parameters", "labels")

# What always works, for a while.
DATES = "a DatesClock with the times of schedule.next(...)"
UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1), "s": timedelta(seconds=1)}


def to_manifest(schedule: Schedule) -> list[dict[str, Any]]:
    """Return the entries that mean the same as *schedule*; FlowError tells what to write for what they cannot say."""
    _refuse_functions(schedule)
    return [_entry(clock, f"clock-{number}") for number, clock in enumerate(schedule.clocks, start=1)]


def from_manifest(entries: Sequence[Mapping[str, Any]]) -> Schedule:
    """Return the schedule of *entries*. Those with `suspend` are read like all others: leave them out before."""
    if isinstance(entries, (str, Mapping)) or not isinstance(entries, Sequence):
        raise TypeError(f"schedules is {entries!r}; give a list of entries.")
    return Schedule([clock_from_manifest(entry, f"schedules[{at}]") for at, entry in enumerate(entries)])


def clock_from_manifest(entry: Mapping[str, Any], where: str = "schedule") -> Clock:
    """Return the clock of one entry; FlowError says which field of it is wrong."""
    if not isinstance(entry, Mapping):
        raise TypeError(f"{where} is {entry!r}; give a mapping with one of {', '.join(KINDS)}.")
    where = f'{where} "{entry["name"]}"' if "name" in entry else where
    unknown = [str(field) for field in entry if field not in FIELDS]
    if unknown:
        raise FlowError(f"{where} has unknown fields {', '.join(unknown)}; the fields are {', '.join(FIELDS)}.")
    kinds = [kind for kind in KINDS if kind in entry]
    if len(kinds) != 1:
        raise FlowError(f"{where} has {' and '.join(kinds) or 'no times'}; give exactly one of {', '.join(KINDS)}.")
    try:
        return _clock(entry)
    except TookTooLongError:
        raise
    except Exception as error:  # what an entry says goes through libraries that fail in many ways
        raise FlowError(f"{where}: {error}") from error


def _entry(clock: Clock, name: str) -> dict[str, Any]:
    zone, times = _times(clock, name)
    entry: dict[str, Any] = {"name": name, **times, "timeZone": zone}
    start = None if isinstance(clock, DatesClock) else _given_start(clock, find_zone(zone))
    end = None if isinstance(clock, DatesClock) else clock.end_date
    for field, moment in (("startDate", start), ("endDate", end)):
        if moment is not None:
            entry[field] = utc(moment).astimezone(find_zone(zone)).isoformat()
    if clock.parameter_defaults:
        entry["parameters"] = {key: _json(key, value, name) for key, value in clock.parameter_defaults.items()}
    if clock.labels:
        entry["labels"] = list(clock.labels)
    return entry


def _times(clock: Clock, name: str) -> tuple[str, dict[str, Any]]:
    match clock:
        case CronClock():
            _refuse_day_and(clock, name)
            return _zone_name(clock.zone, name), {"cron": clock.cron}
        case IntervalClock(interval=interval):
            # Less than a day is real time, the same in any zone.
            zone = _zone_name(clock.zone, name) if interval >= UNITS["d"] else _zone_name_or_utc([clock.zone])
            return zone, {"interval": _interval_text(interval, name)}
        case DatesClock(dates=dates):
            zone = _zone_name_or_utc([zone_of(date) for date in dates])
            return zone, {"dates": [utc(date).astimezone(find_zone(zone)).isoformat() for date in dates]}
        case RRuleClock(recurrence=recurrence) if recurrence.text is not None:
            return _zone_name(clock.zone, name), {"rrule": recurrence.text}
        case RRuleClock():
            raise FlowError(
                f"{name}: a Flow resource cannot hold a rruleset; give each of its rules an RRuleClock, "
                "and its dates a DatesClock."
            )
    raise FlowError(
        f"{name}: a Flow resource cannot hold the clock {clock!r}; write {DATES}, or a clock of headwater.schedules."
    )


def _given_start(clock: Clock, zone: tzinfo) -> datetime | None:
    """Return the start of *clock*, unless it is the one that an entry has anyway."""
    start = clock.start_date
    if start is None:
        return None
    if isinstance(clock, RRuleClock) and clock.recurrence.first is not None:
        # Before its first date a rule has none.
        return None if utc(start) <= utc(at_wall(clock.recurrence.first, zone)) else start
    default = _default_start(zone)
    return None if default is not None and utc(start) == utc(default) else start


def _default_start(zone: tzinfo) -> datetime | None:
    # A clock in UTC needs no start to say its zone.
    return None if str(zone) == "UTC" else at_wall(naive(EPOCH), zone)


def _clock(entry: Mapping[str, Any]) -> Clock:
    zone = find_zone(entry.get("timeZone", "UTC"), "timeZone")
    start = _moment(entry["startDate"], "startDate", zone) if "startDate" in entry else _default_start(zone)
    end = _moment(entry["endDate"], "endDate", zone) if "endDate" in entry else None
    more: tuple[Any, Any] = entry.get("parameters"), entry.get("labels")
    if "cron" in entry:
        return CronClock(entry["cron"], start, end, *more)
    if "interval" in entry:
        return IntervalClock(_interval(entry["interval"]), start, end, *more)
    if "rrule" in entry:
        return _rrule_clock(entry, zone, start, end, more)
    outside = [field for field in ("startDate", "endDate") if field in entry]
    if outside:
        raise FlowError(f"{' and '.join(outside)} say nothing with dates; leave the dates out that are not wanted.")
    if not isinstance(entry["dates"], list):
        raise TypeError(f"dates is {entry['dates']!r}; give a list of times.")
    return DatesClock([_moment(date, f"dates[{at}]", zone) for at, date in enumerate(entry["dates"])], *more)


def _rrule_clock(
    entry: Mapping[str, Any], zone: tzinfo, start: datetime | None, end: datetime | None, more: tuple[Any, Any]
) -> Clock:
    rule = parse_rule(entry["rrule"], zone, start if "startDate" in entry else None)
    first = Recurrence(rule).first
    if "startDate" not in entry and start is not None and first is not None:
        # The start is there for its zone; it takes nothing away from a rule that begins earlier.
        start = min(start, at_wall(first, zone), key=utc)
    return RRuleClock(rule, start, end, *more)


def _moment(text: object, field: str, zone: tzinfo) -> datetime:
    try:
        moment = datetime.fromisoformat(text.upper()) if isinstance(text, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise FlowError(f'{field} is {text!r}; give a time with its distance to UTC, "2026-01-31T09:00:00+01:00".')
    try:
        return moment.astimezone(zone)
    except OverflowError:
        raise FlowError(f"{field} is {text!r}, where the calendar ends; give an earlier time.") from None


def _interval(text: object) -> timedelta:
    if not isinstance(text, str) or not re.fullmatch(r"([0-9]+[dhms])+", text):
        raise FlowError(f'interval is {text!r}; give numbers with d, h, m or s, such as "1d12h".')
    try:
        return sum((int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)(\w)", text)), timedelta(0))
    except OverflowError:
        raise FlowError(f'interval is "{text}", which is longer than the calendar; give fewer days.') from None


def _interval_text(interval: timedelta, name: str) -> str:
    if interval % UNITS["s"]:
        raise FlowError(f"{name}: interval {interval} has a part of a second; a Flow resource counts whole ones.")
    text = ""
    for unit, length in UNITS.items():
        number, interval = divmod(interval, length)
        text += f"{number}{unit}" if number else ""
    return text


def _zone_name(zone: tzinfo, name: str) -> str:
    found = _known_name(zone)
    if found is None:
        raise FlowError(
            f"{name}: time zone {zone} has no IANA name, and a Flow resource holds only the name; "
            'give start_date tzinfo=ZoneInfo("Europe/Berlin").'
        )
    return found


def _zone_name_or_utc(zones: Sequence[tzinfo]) -> str:
    names = {_known_name(zone) for zone in zones}
    return (names.pop() or "UTC") if len(names) == 1 else "UTC"


def _known_name(zone: tzinfo) -> str | None:
    key = getattr(zone, "key", None)
    if isinstance(key, str) or zone is UTC:
        return key or "UTC"
    offset = zone.utcoffset(None)
    if offset is None or offset % UNITS["h"] or not -12 <= (hours := offset // UNITS["h"]) <= 14:
        return None
    return f"Etc/GMT{-hours:+d}"  # these names count westwards


def _json(key: str, value: Any, name: str) -> Any:
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        raise FlowError(
            f'{name}: parameter "{key}" is {value!r}, and a Flow resource holds JSON only; '
            "give text or a number, and let the flow make the value from it."
        ) from None


def _refuse_day_and(clock: CronClock, name: str) -> None:
    if not clock.day_or and restricts_both_days(clock.cron):
        raise FlowError(
            f'{name}: a Flow resource cannot hold day_or=False, as cron "{clock.cron}" has it; '
            "write an RRuleClock, whose BYMONTHDAY and BYDAY must both hold."
        )


def _refuse_functions(schedule: Schedule) -> None:
    for kind in ("filters", "or_filters", "not_filters", "adjustments"):
        for function in getattr(schedule, kind):
            # The opposite of a condition is not what stands in its place.
            instead = DATES if kind == "not_filters" else getattr(function, "instead", DATES)
            name = getattr(function, "__name__", repr(function))
            raise FlowError(f"A Flow resource cannot hold a function, but {kind} has {name}; write {instead} instead.")
