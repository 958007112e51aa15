"""Which scheduled runs a Flow is to have now. Pure: the clock is an argument, what was handled stands in the status.

A slot is a time that an entry of `spec.schedules` names. Its run's name is made from flow, entry and slot, so that it
is made once, whatever is repeated. `status.schedules[].lastSlot` is the newest slot that was handled, made or left out,
and `recent` are the last ones that were made, for when the clock is put back. An entry that is seen for the first time,
or whose times were changed, which `times` tells, begins now.

    catchUp: Skip     a slot that was missed by more than GRACE is left out
             Latest   of those that were missed the newest is made up for
             All      every one is, a few at a time

While an entry or its flow is suspended its slots are left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from headwater.core.errors import FlowError, HeadwaterError
from headwater.resources.conditions import timestamp
from headwater.resources.names import SCHEDULE_LABEL
from headwater.resources.scheduled import scheduled_run
from headwater.schedules.clocks import Clock
from headwater.schedules.manifest import clock_from_manifest
from headwater_operator.kinds import Manifest
from headwater_operator.limited import limited

# So long after its time a slot is still on time: the operator may be starting, or busy.
GRACE = timedelta(seconds=60)

# So many missed slots are made up for at a time.
AT_A_TIME = 20

# The clock is looked at at least so often, as it may be put forward.
LONGEST_SECONDS = 60.0

# A handled slot so far ahead of the clock tells that the clock was put back.
AHEAD = timedelta(minutes=10)

# So many slots are remembered as made.
RECENT = 10

# Missed slots are counted so far.
MOST_COUNTED = 100
COUNTING_SECONDS = 0.2

# Some rules have no times, and looking for one would take for ever.
EVALUATION_SECONDS = 1.0

# The fields of an entry that its times are made of.
TIMES = ("cron", "interval", "rrule", "dates", "timeZone", "startDate", "endDate")

# To find the newest slot before now: the last minute, hour, day, month, year, all.
SPANS = tuple(timedelta(seconds=s) for s in (60, 3600, 86_400, 32 * 86_400, 367 * 86_400))


@dataclass(frozen=True)
class Due:
    """What `spec.schedules` asks for now.

    *runs* are to be made, *status* is `status.schedules`, *next_run* the earliest time to come, and *problems* say in
    words which entries cannot be read. *missed* says by entry which times are left out for good.
    *again_seconds* is when to look again.
    """

    runs: tuple[Manifest, ...] = ()
    status: list[dict[str, Any]] = field(default_factory=list)
    next_run: datetime | None = None
    problems: tuple[str, ...] = ()
    again_seconds: float | None = None
    missed: Mapping[str, str] = field(default_factory=dict)


def due(flow: Manifest, now: datetime, refusal_of: Callable[[Mapping[str, Any]], str | None] = lambda _: None) -> Due:
    """Decide. Entries that cannot be read are told, and those whose runs would be refused; the others go on."""
    now = now.astimezone(UTC)
    handled = {entry["name"]: entry for entry in flow.get("status", {}).get("schedules", [])}
    runs: list[Manifest] = []
    status: list[dict[str, Any]] = []
    problems: list[str] = []
    coming: list[datetime] = []
    missed: dict[str, str] = {}
    more = False
    for entry in flow["spec"].get("schedules", []):
        try:
            clock = clock_from_manifest(entry, "schedules")
            _check_runs(flow, entry, refusal_of)
            known = handled.get(entry["name"], {})
            with limited(EVALUATION_SECONDS, f"{_place(entry)} takes too long to find its times"):
                found = _due_of(clock, entry, flow, _last(known, _times(entry), now), now)
        except (HeadwaterError, TypeError, ValueError, OverflowError) as error:
            problems.append(str(error))
            status += [handled[entry["name"]]] if entry["name"] in handled else []
            continue
        words = _missed_words(entry, clock, _last(known, _times(entry), now), found)
        missed |= {entry["name"]: words} if words else {}
        recent = known.get("recent", [])
        made = [slot for slot in found.slots if timestamp_of(slot) not in recent]
        runs += [scheduled_run(flow, entry, slot) for slot in made]
        more = more or found.more
        told = {"name": entry["name"], "times": _times(entry), "lastSlot": timestamp_of(found.last)}
        if recent or made:
            told["recent"] = [*recent, *map(timestamp_of, made)][-RECENT:]
        if found.next is not None and not _is_suspended(flow, entry):
            told["nextRunTime"] = timestamp_of(found.next)
            coming.append(found.next)
        status.append(told)
    soonest = min(coming, default=None)
    if soonest is None and not status:
        return Due(problems=tuple(problems))
    wait = LONGEST_SECONDS if soonest is None else min(LONGEST_SECONDS, max(0.0, (soonest - now).total_seconds()))
    return Due(tuple(runs), status, soonest, tuple(problems), 0.5 if more else wait, missed)


def _check_runs(
    flow: Manifest, entry: Mapping[str, Any], refusal_of: Callable[[Mapping[str, Any]], str | None]
) -> None:
    words = None if _is_suspended(flow, entry) else refusal_of(entry)
    if words is not None:
        raise FlowError(f"{_place(entry)}: its runs would be refused, and none is made ({words})")


def held(asked: Due, flow: Manifest, missing: tuple[Manifest, ...]) -> Due:
    """Return what is asked for with the entries of these runs as not handled yet, as their runs could not be made."""
    names = {run["metadata"]["labels"][SCHEDULE_LABEL] for run in missing}
    slots = {run["spec"]["scheduledTime"] for run in missing}
    before = {entry["name"]: entry for entry in flow.get("status", {}).get("schedules", [])}
    status = [_held(entry, before[entry["name"]], slots) if entry["name"] in names else entry for entry in asked.status]
    missed = {name: words for name, words in asked.missed.items() if name not in names}
    return replace(asked, status=status, missed=missed)


def _held(entry: dict[str, Any], before: Mapping[str, Any], slots: set[str]) -> dict[str, Any]:
    recent = [slot for slot in entry.get("recent", []) if slot not in slots]
    kept = {name: value for name, value in entry.items() if name != "recent"}
    return {**kept, "lastSlot": before["lastSlot"], **({"recent": recent} if recent else {})}


def timestamp_of(moment: datetime) -> str:
    return timestamp(moment)


@dataclass(frozen=True)
class _Slots:
    slots: list[datetime]
    last: datetime
    next: datetime | None
    more: bool = False
    missed_until: datetime | None = None  # the slots after the last handled one until then are left out


def _last(known: Mapping[str, Any], times: str, now: datetime) -> datetime:
    if "lastSlot" not in known or known.get("times", times) != times:
        return now
    last = datetime.fromisoformat(known["lastSlot"])
    # What has a run beyond the clock's new time is among the recent ones.
    return now if last > now + AHEAD else last


def _times(entry: Mapping[str, Any]) -> str:
    """Return what tells whether the times of an entry are still the same."""
    said = {name: entry[name] for name in TIMES if name in entry}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]


def _place(entry: Mapping[str, Any]) -> str:
    return f'schedules "{entry["name"]}"'


def _due_of(clock: Clock, entry: Mapping[str, Any], flow: Manifest, last: datetime, now: datetime) -> _Slots:
    first = next(slots_after(clock, last), None)
    if first is None or first > now:
        # Mostly nothing is due, and to know it takes but one look into the calendar.
        return _Slots([], last, first)
    coming = next(slots_after(clock, now), None)
    newest = _newest(clock, last, now)
    assert newest is not None, "the first is one"
    if _is_suspended(flow, entry):
        return _Slots([], newest, coming)
    policy = entry.get("catchUp", "Skip")
    if policy == "Latest":
        return _Slots([newest], newest, coming, missed_until=newest - timedelta(seconds=1))
    if policy == "All":
        missed = [slot for slot in islice(slots_after(clock, last), AT_A_TIME) if slot <= now]
        return _Slots(missed, missed[-1], coming, more=missed[-1] < newest)
    since = max(last, now - GRACE)
    return _Slots(list(_until(clock, since, now)), newest, coming, missed_until=since)


def _count(clock: Clock, last: datetime, until: datetime) -> int:
    """Count the slots after *last* and not after *until*, up to MOST_COUNTED."""
    return sum(1 for _ in islice(_until(clock, last, until), MOST_COUNTED)) if until > last else 0


def _missed_words(entry: Mapping[str, Any], clock: Clock, last: datetime, found: _Slots) -> str:
    """Say how many slots are left out, "" when none is. Nothing depends on it, so it may not take long."""
    if found.missed_until is None or found.missed_until <= last:
        return ""
    try:
        with limited(COUNTING_SECONDS, _place(entry)):
            count = _count(clock, last, found.missed_until)
    except HeadwaterError:
        count = MOST_COUNTED
    if not count:
        return ""
    several = f"{count} times were" if count > 1 else "a time was"
    more = "many times were" if count >= MOST_COUNTED else several
    policy = entry.get("catchUp", "Skip")
    return f"{_place(entry)}: {more} missed and left out (catchUp: {policy}); handled until {timestamp_of(found.last)}"


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


def _until(clock: Clock, since: datetime, now: datetime) -> Iterator[datetime]:
    for slot in slots_after(clock, since):
        if slot > now:
            return
        yield slot


def slots_after(clock: Clock, after: datetime) -> Iterator[datetime]:
    """Yield the times of a clock after a moment, in UTC and in whole seconds, as names and statuses hold them."""
    last = after
    for event in clock.events(after):
        slot = event.start_time.astimezone(UTC).replace(microsecond=0)
        if slot > last:
            last = slot
            yield slot


def _is_suspended(flow: Manifest, entry: Mapping[str, Any]) -> bool:
    return bool(flow["spec"].get("suspend") or entry.get("suspend"))
