"""What a recurrence rule (rrule) says, as times on the wall of one time zone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from itertools import chain

from dateutil.rrule import DAILY, HOURLY, MINUTELY, MONTHLY, SECONDLY, WEEKLY, YEARLY, rrule, rruleset, rrulestr

from headwater.core.errors import FlowError
from headwater.schedules.limited import TookTooLongError
from headwater.schedules.zones import EPOCH, at_wall, find_zone, naive, plain_zone

# What one interval of a rule is, by its frequency.
STEPS = {
    SECONDLY: timedelta(seconds=1),
    MINUTELY: timedelta(minutes=1),
    HOURLY: timedelta(hours=1),
    DAILY: timedelta(days=1),
    WEEKLY: timedelta(weeks=1),
}
MONTHS = {MONTHLY: 1, YEARLY: 12}

# The library takes any numbers, and then looks for such a month until the calendar ends.
RANGES = {
    "BYMONTH": (1, 12),
    "BYMONTHDAY": (-31, 31),
    "BYYEARDAY": (-366, 366),
    "BYWEEKNO": (-53, 53),
    "BYSETPOS": (-366, 366),
    "BYHOUR": (0, 23),
    "BYMINUTE": (0, 59),
    "BYSECOND": (0, 59),
}
FROM_ONE = ("BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYSETPOS")


def parse_rule(text: object, zone: tzinfo, start: datetime | None = None) -> rrule | rruleset:
    """Return the rule or rules of a text in the form of RFC 5545.

    Without a DTSTART it starts at *start*, 2019-01-01 if that is not given, on the wall of *zone*.
    """
    if not isinstance(text, str):
        raise TypeError(f'rrule is {text!r}; give text, such as "FREQ=DAILY;BYHOUR=9".')
    if "FREQ=" not in text.upper():
        raise FlowError(f'rrule {text!r} has no FREQ; give a rule, such as "FREQ=DAILY;BYHOUR=9", or dates.')
    _check_numbers(text)
    # The library wants an end in UTC for a start with a zone, and one without for a start without.
    ends_in_utc = "DTSTART" not in text.upper() and re.search(r"UNTIL=\w+Z", text.upper())
    begin = at_wall(naive(EPOCH), zone) if start is None else start.astimezone(zone)
    try:
        return rrulestr(text, dtstart=begin if ends_in_utc else naive(begin), tzids=find_zone)
    except TookTooLongError:
        raise
    except Exception as error:  # the library has no error of its own: it fails in many ways
        raise FlowError(f"rrule {text!r} is not valid ({error}); write it as RFC 5545 does.") from error


def _check_numbers(text: str) -> None:
    for name, values in re.findall(r"(BY[A-Z]+)=([-+0-9,]+)", text.upper()):
        low, high = RANGES.get(name, (None, None))
        if low is None or high is None:
            continue
        for value in filter(None, values.split(",")):
            number = int(value) if re.fullmatch(r"[-+]?[0-9]{1,4}", value) else high + 1
            if not low <= number <= high or (number == 0 and name in FROM_ONE):
                allowed = f"1 to {high}, or -1 to {low} from the end" if name in FROM_ONE else f"{low} to {high}"
                raise FlowError(f"rrule {text!r} is not valid: {name} is {value}; it may be {allowed}.")


class Recurrence:
    """A rule or a set of rules without its time zone.

    *zone* is that of its dates, None if they come without. *text* is the rule in the words of RFC 5545, with DTSTART
    on its first line; None for a set, which has no text.
    """

    def __init__(self, rule: object) -> None:
        self.zone: tzinfo | None = None
        self.text: str | None = None
        self.first: datetime | None = None
        self._rule: rrule | rruleset
        self._tzinfo: tzinfo | None = None
        if isinstance(rule, rrule):
            self._take_rule(rule)
        elif isinstance(rule, rruleset):
            self._take_set(rule)
        else:
            raise TypeError(
                f"rrule_obj is {rule!r}; give dateutil's rrule or rruleset, such as "
                'rrulestr("DTSTART:20260101T090000\\nRRULE:FREQ=DAILY").'
            )

    def walls(self, first: datetime) -> Iterator[datetime]:
        """Yield the dates from *first* on."""
        rule = _set_near(self._rule, first) if isinstance(self._rule, rruleset) else _near(self._rule, first)
        for moment in rule:
            wall = naive(moment if moment.tzinfo is self._tzinfo else moment.astimezone(self._tzinfo))
            if wall >= first:
                yield wall

    def _take_rule(self, rule: rrule) -> None:
        # The library shows neither in public, and leaves the zone out of its text.
        start, until = vars(rule)["_dtstart"], vars(rule)["_until"]
        if start.tzinfo is not None:
            self.zone = plain_zone(start.tzinfo, "rrule_obj")
            until = until and naive(until.astimezone(self.zone))
            rule = rule.replace(dtstart=naive(start), until=until)
        self._rule, self.first, self.text = rule, naive(start), str(rule)
        words = dict(word.split("=") for word in self.text.split("RRULE:")[1].split(";"))
        if int(words.get("INTERVAL", 1)) < 1 or int(words.get("COUNT", 1)) < 1:
            raise FlowError(f"rrule {self.text!r} gives no dates; its INTERVAL and COUNT are at least 1.")

    def _take_set(self, rules: rruleset) -> None:
        for rule in chain(vars(rules)["_rrule"], vars(rules)["_exrule"]):
            Recurrence(rule)  # each has to be one by itself
        try:
            self.first = next(iter(rules), None)
        except TypeError:
            raise TypeError("rrule_obj has dates with a time zone and dates without; give all of them one.") from None
        if self.first is None:
            raise FlowError("rrule_obj gives no dates; give it a rule with rruleset.rrule(...).")
        self._tzinfo, self._rule = self.first.tzinfo, rules
        self.zone = self._tzinfo and plain_zone(self._tzinfo, "rrule_obj")


def _near(rule: rrule, first: datetime) -> rrule:
    """Return a rule with the same dates from *first* on, a time on the wall, that begins close to it.

    A rule is read from its first date on, and there may have been millions since. One that counts its dates has to be.
    """
    start, every, frequency = vars(rule)["_dtstart"], vars(rule)["_interval"], vars(rule)["_freq"]
    away = first - naive(start)
    if vars(rule)["_count"] is not None or away <= timedelta(0):
        return rule
    if frequency in STEPS:
        stride = every * STEPS[frequency]
        return rule.replace(dtstart=start + away // stride * stride)
    stride_months = every * MONTHS[frequency]
    months = (first.year - start.year) * 12 + first.month - start.month
    # The day of the month may be what the rule repeats, so it is kept; of leap days there may be none for 40 years.
    for count in range(months // stride_months, 0, -1):
        moved = _months_later(start, count * stride_months)
        if moved is not None and naive(moved) <= first:
            return rule.replace(dtstart=moved)
    return rule


def _months_later(moment: datetime, months: int) -> datetime | None:
    """Return the same day and time so many months later; None where that month has no such day."""
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    try:
        return moment.replace(year=year, month=month + 1)
    except ValueError:
        return None


def _set_near(rules: rruleset, first: datetime) -> rruleset:
    found = rruleset()
    for rule in vars(rules)["_rrule"]:
        found.rrule(_near(rule, first))
    for rule in vars(rules)["_exrule"]:
        found.exrule(_near(rule, first))
    for date in vars(rules)["_rdate"]:
        found.rdate(date)
    for date in vars(rules)["_exdate"]:
        found.exdate(date)
    return found
