"""What a recurrence rule (rrule) says, as times on the wall of one time zone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo

from dateutil.rrule import rrule, rruleset, rrulestr

from headwater.core.errors import FlowError
from headwater.schedules.zones import EPOCH, at_wall, find_zone, naive, plain_zone

# A rule is read from its first date on. These may have millions of dates: they are entered close to the time asked.
SHORT = {"HOURLY": timedelta(hours=1), "MINUTELY": timedelta(minutes=1), "SECONDLY": timedelta(seconds=1)}


def parse_rule(text: object, zone: tzinfo) -> rrule | rruleset:
    """Return the rule or rules of a text in the form of RFC 5545; it starts 2019-01-01 in *zone* without a DTSTART."""
    if not isinstance(text, str):
        raise TypeError(f'rrule is {text!r}; give text, such as "FREQ=DAILY;BYHOUR=9".')
    # The library wants an end in UTC for a start with a zone, and one without for a start without.
    ends_in_utc = "DTSTART" not in text.upper() and re.search(r"UNTIL=\w+Z", text.upper())
    start = at_wall(naive(EPOCH), zone)
    try:
        return rrulestr(text, dtstart=start if ends_in_utc else naive(start), tzids=find_zone)
    except (ValueError, TypeError) as error:
        raise FlowError(f"rrule {text!r} is not valid ({error}); write it as RFC 5545 does.") from error


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
        self._stride: timedelta | None = None
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
        for moment in self._entered(first):
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
        every = int(words.get("INTERVAL", 1))
        if every < 1 or int(words.get("COUNT", 1)) < 1:
            raise FlowError(f"rrule {self.text!r} gives no dates; its INTERVAL and COUNT are at least 1.")
        if words["FREQ"] in SHORT and "COUNT" not in words:
            self._stride = every * SHORT[words["FREQ"]]

    def _take_set(self, rules: rruleset) -> None:
        try:
            self.first = next(iter(rules), None)
        except TypeError:
            raise TypeError("rrule_obj has dates with a time zone and dates without; give all of them one.") from None
        if self.first is None:
            raise FlowError("rrule_obj gives no dates; give it a rule with rruleset.rrule(...).")
        self._tzinfo, self._rule = self.first.tzinfo, rules
        self.zone = self._tzinfo and plain_zone(self._tzinfo, "rrule_obj")

    def _entered(self, first: datetime) -> Iterator[datetime]:
        rule = self._rule
        if self._stride is not None and isinstance(rule, rrule) and self.first is not None:
            ahead = (first - self.first) // self._stride
            if ahead > 0:
                rule = rule.replace(dtstart=self.first + ahead * self._stride)
        return iter(rule)
