"""Which scheduled runs a Flow is to have now. Pure: the clock is an argument, what was handled stands in the status.

A slot is a time that an entry of `spec.schedules` names. Its run's name is made from flow, entry and slot, so that it
is made once, whatever is repeated. `status.schedules[].lastSlot` is the newest slot that was handled, made or left out,
and `recent` are the last ones that were made, for when the clock is put back. An entry begins now that is seen for
the first time, whose times were changed, which `times` tells, or that is not suspended any more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from headwater.core.errors import FlowError, HeadwaterError
from headwater.resources.conditions import timestamp
from headwater.resources.names import SCHEDULE_LABEL
from headwater.resources.scheduled import scheduled_run
from headwater.schedules.limited import Budget, PutOffError, TookTooLongError
from headwater.schedules.manifest import clock_from_manifest
from headwater_operator.flows.slots import MOST_COUNTED, slots_due
from headwater_operator.kinds import Manifest

# The clock is looked at at least so often, as it may be put forward.
LONGEST_SECONDS = 60.0

# What was handled stays so when the clock is put back; further ahead than this it was wrong, and would be for years.
AHEAD = timedelta(days=1)

# So many slots are remembered as made.
RECENT = 10

# Some rules have no times, and looking for one would take for ever: so much for all entries of a Flow.
EVALUATION_SECONDS = 1.0

# The fields of an entry that its times are made of.
TIMES = ("cron", "interval", "rrule", "dates", "timeZone", "startDate", "endDate")

# What was found out at the price of a second, by the hash of the times: it is not tried again, the newest last.
_too_slow: dict[str, str] = {}
MOST_REMEMBERED = 1000

RefusalOf = Callable[[Mapping[str, Any]], str | None]


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


@dataclass(frozen=True)
class _Judged:
    """What one entry asks for."""

    status: dict[str, Any]
    runs: tuple[Manifest, ...] = ()
    more: bool = False
    missed: str = ""


def due(flow: Manifest, now: datetime, refusal_of: RefusalOf = lambda _: None) -> Due:
    """Decide. Entries that cannot be read are told, and those whose runs would be refused; the others go on."""
    now = now.astimezone(UTC)
    handled = {entry["name"]: entry for entry in flow.get("status", {}).get("schedules", [])}
    budget = Budget(EVALUATION_SECONDS)
    judged: dict[str, _Judged] = {}
    problems: list[str] = []
    for entry in flow["spec"].get("schedules", []):
        name = entry["name"]
        known = handled.get(name, {})
        try:
            judged[name] = _judge(flow, entry, known, now, budget, refusal_of)
        except PutOffError:
            judged[name] = _Judged(known, more=True)
        except Exception as error:  # what an entry says goes through libraries that fail in many ways
            problems.append(_words(entry, error))
            judged[name] = _Judged({key: value for key, value in known.items() if key != "nextRunTime"})
    status = [each.status for each in judged.values() if each.status]
    coming = [parsed(each["nextRunTime"]) for each in status if "nextRunTime" in each]
    soonest = min(coming, default=None)
    again = LONGEST_SECONDS if soonest is None else min(LONGEST_SECONDS, max(0.0, (soonest - now).total_seconds()))
    more = any(each.more for each in judged.values())
    return Due(
        runs=tuple(run for each in judged.values() for run in each.runs),
        status=status,
        next_run=soonest,
        problems=tuple(problems),
        again_seconds=0.5 if more else again if status else None,
        missed={name: each.missed for name, each in judged.items() if each.missed},
    )


def _judge(
    flow: Manifest,
    entry: Mapping[str, Any],
    known: dict[str, Any],
    now: datetime,
    budget: Budget,
    refusal_of: RefusalOf,
) -> _Judged:
    times, suspended = _times(entry), bool(flow["spec"].get("suspend") or entry.get("suspend"))
    if times in _too_slow:
        raise TookTooLongError(_too_slow[times])
    if not suspended and (words := refusal_of(entry)) is not None:
        raise FlowError(f"{_place(entry)}: its runs would be refused, and none is made ({words})")
    if _is_quiet(known, times, suspended, now):
        return _Judged(known)
    last = _last(known, times, now)
    told: dict[str, Any] = {"name": entry["name"], "times": times, "lastSlot": timestamp(last)}
    recent = known.get("recent", [])
    try:
        with budget.spend(f"{_place(entry)} takes too long to find its times"):
            clock = clock_from_manifest(entry, "schedules")
            if suspended:
                return _Judged({**told, **({"recent": recent} if recent else {}), "suspended": True})
            found = slots_due(clock, entry.get("catchUp", "Skip"), last, now)
    except TookTooLongError as error:
        _remember(times, str(error))
        raise
    made = [slot for slot in found.due if timestamp(slot) not in recent]
    told["lastSlot"] = timestamp(found.last)
    if recent or made:
        told["recent"] = [*recent, *map(timestamp, made)][-RECENT:]
    if found.next is not None:
        told["nextRunTime"] = timestamp(found.next)
    runs = tuple(scheduled_run(flow, entry, slot) for slot in made)
    return _Judged(told, runs, found.more, _missed_words(entry, found.missed, found.last))


def _is_quiet(known: Mapping[str, Any], times: str, suspended: bool, now: datetime) -> bool:
    """Whether nothing can be due: its next time is known, and to come."""
    if known.get("times") != times or suspended != known.get("suspended", False):
        return False
    if suspended:
        return True
    return "nextRunTime" in known and parsed(known["lastSlot"]) <= now < parsed(known["nextRunTime"])


def _last(known: Mapping[str, Any], times: str, now: datetime) -> datetime:
    """Return until when the slots are handled."""
    if "lastSlot" not in known or known.get("times", times) != times or known.get("suspended"):
        return now
    last = parsed(known["lastSlot"])
    # What has a run beyond the clock's new time is among the recent ones.
    return now if last > now + AHEAD else last


def unnoted(flow: Manifest, runs: Iterable[Manifest]) -> set[str]:
    """The uids of scheduled runs whose slots the status does not show as handled yet: one that went now would be made,
    and executed, once more."""
    handled = {entry["name"]: entry.get("lastSlot") for entry in flow.get("status", {}).get("schedules", [])}
    return {run["metadata"]["uid"] for run in runs if _is_unnoted(run, handled)}


def _is_unnoted(run: Manifest, handled: Mapping[str, str | None]) -> bool:
    slot = run["spec"].get("scheduledTime")
    last = handled.get(run["metadata"].get("labels", {}).get(SCHEDULE_LABEL, ""))
    return slot is not None and last is not None and parsed(slot) > parsed(last)


def held(asked: Due, flow: Manifest, missing: tuple[Manifest, ...]) -> Due:
    """Return what is asked for with the entries of these runs as not handled yet, as their runs could not be made."""
    names = {run["metadata"]["labels"][SCHEDULE_LABEL] for run in missing}
    slots = {run["spec"]["scheduledTime"] for run in missing}
    before = {entry["name"]: entry for entry in flow.get("status", {}).get("schedules", [])}
    status = [_held(entry, before[entry["name"]], slots) if entry["name"] in names else entry for entry in asked.status]
    missed = {name: words for name, words in asked.missed.items() if name not in names}
    return replace(asked, status=status, missed=missed)


def _held(entry: dict[str, Any], before: Mapping[str, Any], slots: set[str]) -> dict[str, Any]:
    """Return the entry with what was handled before; its next time is one that is over, so that it is looked at."""
    recent = [slot for slot in entry.get("recent", []) if slot not in slots]
    kept = {name: value for name, value in entry.items() if name not in ("recent", "nextRunTime")}
    return {**kept, "lastSlot": before["lastSlot"], **({"recent": recent} if recent else {})}


def parsed(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _times(entry: Mapping[str, Any]) -> str:
    """Return what tells whether the times of an entry are still the same."""
    said = {name: entry[name] for name in TIMES if name in entry}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]


def _place(entry: Mapping[str, Any]) -> str:
    return f'schedules "{entry["name"]}"'


def _words(entry: Mapping[str, Any], error: Exception) -> str:
    if isinstance(error, HeadwaterError):
        return str(error)
    return f"{_place(entry)} cannot be read: {type(error).__name__}: {error}"


def _missed_words(entry: Mapping[str, Any], count: int, until: datetime) -> str:
    """Say how many slots are left out, "" when none is."""
    if not count:
        return ""
    several = "many times were" if count >= MOST_COUNTED else f"{count} times were" if count > 1 else "a time was"
    policy = entry.get("catchUp", "Skip")
    return f"{_place(entry)}: {several} missed and left out (catchUp: {policy}); handled until {timestamp(until)}"


def _remember(times: str, words: str) -> None:
    _too_slow[times] = words
    if len(_too_slow) > MOST_REMEMBERED:
        del _too_slow[next(iter(_too_slow))]
