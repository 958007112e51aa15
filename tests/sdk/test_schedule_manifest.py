"""Schedules in a Flow resource: what is written, that it means the same when it is read, and what cannot be said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import DAILY, FR, HOURLY, MONTHLY, SU, WEEKLY, YEARLY, rrule, rruleset
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.schedules import (
    Clock,
    CronClock,
    CronSchedule,
    DatesClock,
    IntervalClock,
    IntervalSchedule,
    RRuleClock,
    RRuleSchedule,
    Schedule,
    adjustments,
    filters,
)
from headwater.schedules.manifest import clock_from_manifest, from_manifest, to_manifest

BERLIN = ZoneInfo("Europe/Berlin")


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


def test_a_schedule_is_an_entry_per_clock() -> None:
    start = local("2026-05-01T09:00")
    schedule = Schedule(
        [
            CronClock("0 9 * * 1-5", start, parameter_defaults={"airport": "IAD", "radius": 50}, labels=["big"]),
            CronClock("@hourly"),
            IntervalClock(timedelta(days=1, hours=12, seconds=5), start, local("2026-12-01")),
            IntervalClock(timedelta(minutes=90)),
            RRuleClock(rrule(MONTHLY, byweekday=FR(-1), dtstart=start, until=local("2027-01-01"))),
            DatesClock([start, start + timedelta(days=200)]),
        ]
    )
    assert to_manifest(schedule) == [
        {
            "name": "clock-1",
            "cron": "0 9 * * 1-5",
            "timeZone": "Europe/Berlin",
            "startDate": "2026-05-01T09:00:00+02:00",
            "parameters": {"airport": "IAD", "radius": 50},
            "labels": ["big"],
        },
        {"name": "clock-2", "cron": "@hourly", "timeZone": "UTC"},
        {
            "name": "clock-3",
            "interval": "1d12h5s",
            "timeZone": "Europe/Berlin",
            "startDate": "2026-05-01T09:00:00+02:00",
            "endDate": "2026-12-01T00:00:00+01:00",
        },
        {"name": "clock-4", "interval": "1h30m", "timeZone": "UTC"},
        {
            "name": "clock-5",
            "rrule": "DTSTART:20260501T090000\nRRULE:FREQ=MONTHLY;UNTIL=20270101T000000;BYDAY=-1FR",
            "timeZone": "Europe/Berlin",
        },
        {
            "name": "clock-6",
            "dates": ["2026-05-01T09:00:00+02:00", "2026-11-17T09:00:00+01:00"],
            "timeZone": "Europe/Berlin",
        },
    ]


def test_a_hand_written_entry_is_read_on_the_wall_of_its_zone() -> None:
    after = local("2026-05-01T10:00")
    berlin = {"name": "x", "timeZone": "Europe/Berlin", "catchUp": "Skip", "suspend": False}
    for times in (
        {"cron": "0 9 * * *"},
        {"interval": "1d", "startDate": "2026-01-01T08:00:00Z"},
        {"interval": "24h", "startDate": "2026-01-01T09:00:00+01:00"},
        {"rrule": "FREQ=DAILY;BYHOUR=9"},
        {"rrule": "RRULE:FREQ=DAILY;BYHOUR=9;UNTIL=20270101T000000Z"},
        {"rrule": "FREQ=DAILY;BYHOUR=9;UNTIL=20270101T000000"},
        {"rrule": "DTSTART:20260101T090000\nRRULE:FREQ=DAILY"},
        {"rrule": "DTSTART:20100101T090000\nRRULE:FREQ=DAILY"},
        {"rrule": "DTSTART;TZID=Europe/Berlin:20260101T090000\nRRULE:FREQ=DAILY;UNTIL=20270101T000000Z"},
        {"dates": ["2026-05-02T07:00:00Z", "2026-05-01T09:00:00+02:00"]},
    ):
        (found,) = from_manifest([{**berlin, **times}]).next(1, after=after)
        assert found == local("2026-05-02T09:00")
        assert found.tzinfo is BERLIN


def test_an_entry_without_a_zone_is_in_utc_and_counts_from_2019() -> None:
    after = datetime(2018, 12, 31, tzinfo=UTC)
    for entry in (
        {"interval": "7d"},
        {"cron": "@weekly", "startDate": "2019-01-01T00:00:00Z"},
        {"rrule": "FREQ=WEEKLY"},
    ):
        first, second = from_manifest([entry]).next(2, after=after)
        assert second - first == timedelta(days=7)
        assert first.tzinfo is UTC
    assert from_manifest([{"interval": "7d"}]).next(1, after=after) == [datetime(2019, 1, 1, tzinfo=UTC)]


def test_parameters_and_labels_come_with_the_events() -> None:
    clock = clock_from_manifest({"cron": "@daily", "parameters": {"x": [1, None]}, "labels": ["big"]})
    event = next(clock.events(local("2026-05-01")))
    assert (event.parameter_defaults, event.labels) == ({"x": [1, None]}, ["big"])


def test_a_rule_with_exclusions_is_read() -> None:
    text = "DTSTART:20260501T090000\nRRULE:FREQ=DAILY\nEXDATE:20260502T090000"
    found = from_manifest([{"rrule": text, "timeZone": "Europe/Berlin"}]).next(2, after=local("2026-04-01"))
    assert found == [local("2026-05-01T09:00"), local("2026-05-03T09:00")]


def test_zones_without_a_name_are_told_by_another_where_it_means_the_same() -> None:
    two_hours = timezone(timedelta(hours=2))
    start = datetime(2026, 5, 1, 9, tzinfo=two_hours)
    (cron,) = to_manifest(CronSchedule("0 9 * * *", start))
    assert cron["timeZone"] == "Etc/GMT-2"
    half = timezone(timedelta(hours=5, minutes=30))
    (short,) = to_manifest(IntervalSchedule(start.astimezone(half), timedelta(hours=1)))
    assert (short["timeZone"], short["startDate"]) == ("UTC", "2026-05-01T07:00:00+00:00")
    (dates,) = to_manifest(Schedule([DatesClock([start, local("2026-05-02")])]))
    assert dates["dates"] == ["2026-05-01T07:00:00+00:00", "2026-05-01T22:00:00+00:00"]


@st.composite
def clocks(draw: st.DrawFn) -> Clock:
    zone = draw(st.sampled_from([UTC, BERLIN, ZoneInfo("America/New_York"), timezone(timedelta(hours=-3))]))
    start = draw(st.datetimes(datetime(2015, 1, 1), datetime(2027, 1, 1))).replace(microsecond=0)  # noqa: DTZ001
    begins = draw(st.sampled_from([None, start.replace(tzinfo=zone), datetime(2019, 1, 1, tzinfo=zone)]))
    ends = begins and draw(st.none() | st.just(begins + timedelta(days=draw(st.integers(1, 4000)))))
    more: tuple[Any, Any] = draw(st.sampled_from([(None, None), ({"x": 1, "day of week": ["mo"]}, ["a", "b"])]))
    kind = draw(st.sampled_from(["interval", "cron", "rrule", "dates"]))
    if kind == "interval":
        return IntervalClock(timedelta(seconds=draw(st.integers(1000, 10**6))), begins, ends, *more)
    if kind == "cron":
        lines = ["*/20 * * * *", "30 2 * * *", "0 0 L * *", "15 1,2,3 1,15 * mon", "@weekly", "0 9 * * fri#2"]
        return CronClock(draw(st.sampled_from(lines)), begins, ends, *more)
    if kind == "dates":
        return DatesClock([(begins or local("2026-01-01")) + timedelta(hours=at * 700) for at in range(9)], *more)
    frequency, every = draw(st.sampled_from([HOURLY, DAILY, WEEKLY, MONTHLY, YEARLY])), draw(st.integers(1, 3))
    rule = rrule(
        frequency,
        dtstart=start.replace(tzinfo=draw(st.sampled_from([zone, None]))),
        interval=every,
        byweekday=draw(st.sampled_from([None, FR, (FR, SU), SU(1)])),
        # Every third hour may never be one of these.
        byhour=draw(st.sampled_from([None, 0, (2, 3)])) if frequency != HOURLY or every == 1 else None,
        wkst=draw(st.sampled_from([None, SU])),
    )
    if draw(st.booleans()):
        rule = rule.replace(count=draw(st.integers(1, 60)))
    elif draw(st.booleans()):
        until = start + timedelta(days=draw(st.integers(1, 900)))
        rule = rule.replace(until=until.replace(tzinfo=UTC if vars(rule)["_tzinfo"] else None))
    return RRuleClock(rule, begins, ends, *more)


@given(
    st.lists(clocks(), min_size=1, max_size=3),
    st.datetimes(datetime(2014, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
@settings(max_examples=120, deadline=None)
def test_what_is_written_means_the_same_when_it_is_read(found: list[Clock], after: datetime) -> None:
    schedule = Schedule(found)
    written = to_manifest(schedule)
    assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", entry["name"]) for entry in written)
    again = from_manifest(json.loads(json.dumps(written)))
    assert again.next(12, after=after, return_events=True) == schedule.next(12, after=after, return_events=True)
    assert to_manifest(again) == written


REFUSED: list[tuple[Callable[[], Schedule], str]] = [
    (lambda: CronSchedule("0 0 13 * 5", day_or=False), "BYMONTHDAY and BYDAY"),
    (lambda: IntervalSchedule(interval=timedelta(seconds=1.5)), "part of a second"),
    (lambda: CronSchedule("@daily", datetime(2026, 1, 1, tzinfo=timezone(timedelta(minutes=90)))), "no IANA name"),
    (
        lambda: Schedule([CronClock("@daily", parameter_defaults={"day": date(2026, 1, 1)})]),
        'parameter "day" is datetime',
    ),
    (lambda: Schedule([CronClock("@daily", parameter_defaults={"x": float("nan")})]), 'parameter "x" is nan'),
    (lambda: RRuleSchedule(rules()), "give each of its rules an RRuleClock"),
    (lambda: Schedule([OwnClock()]), "write a DatesClock"),
    (lambda: daily(filters=[filters.is_weekday]), 'is_weekday; write a CronClock that ends "... * * 1-5"'),
    (lambda: daily(filters=[filters.is_weekend]), '"... * * 0,6"'),
    (lambda: daily(filters=[filters.is_day_of_week(3)]), '"... * * 3"'),
    (lambda: daily(filters=[filters.is_month_start]), '"... 1 * *"'),
    (lambda: daily(filters=[filters.is_month_end]), '"... L * *"'),
    (lambda: daily(filters=[filters.on_date(12, 24)]), '"... 24 12 *"'),
    (lambda: daily(or_filters=[filters.at_time(time(9, 30))]), 'CronClock "30 9 * * *"'),
    (lambda: daily(filters=[filters.at_time(time(9, 30, 1))]), "at_time(09:30:01)"),
    (lambda: daily(filters=[filters.between_times(time(9), time(17))]), '"0 9-17 * * *"'),
    (lambda: daily(filters=[filters.on_datetime(local("2026-01-01"))]), "a DatesClock"),
    (lambda: daily(not_filters=[filters.is_weekend]), "not_filters has is_weekend; write a DatesClock with the times"),
    (lambda: daily(filters=[lambda slot: slot.day > 3]), "filters has <lambda>; write a DatesClock with the times"),
    (lambda: daily(adjustments=[adjustments.next_weekday]), "adjustments has next_weekday; write a DatesClock"),
    (lambda: daily(adjustments=[adjustments.add(timedelta(hours=1))]), "a clock that is that much later"),
]


class OwnClock(Clock):
    def slots(self, after: datetime) -> Iterator[datetime]:
        return iter([])


def daily(**functions: Any) -> Schedule:
    return Schedule([CronClock("@daily")], **functions)


def rules() -> rruleset:
    found = rruleset()
    found.rrule(rrule(DAILY, dtstart=local("2026-01-01")))
    return found


@pytest.mark.parametrize(("schedule", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_a_resource_cannot_say_is_refused_with_what_to_write(schedule: Callable[[], Schedule], words: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011  # the words are looked at below
        to_manifest(schedule())
    assert words in str(raised.value)


def test_what_is_told_to_be_written_works() -> None:
    kept = daily(filters=[filters.is_weekday], adjustments=[adjustments.add(timedelta(hours=9))])
    after = local("2026-05-01")
    dates = Schedule([DatesClock(kept.next(20, after=after))])
    assert from_manifest(to_manifest(dates)).next(20, after=after) == kept.next(20, after=after)
    both = CronSchedule("0 0 13 * 5", day_or=False)
    rule = RRuleSchedule(rrule(MONTHLY, bymonthday=13, byweekday=FR, dtstart=datetime(2026, 1, 1, tzinfo=UTC)))
    assert from_manifest(to_manifest(rule)).next(5, after=after) == both.next(5, after=after)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"name": "x"}, 'schedules[0] "x" has no times; give exactly one of cron, interval, rrule, dates'),
        ({"cron": "@daily", "interval": "1d"}, "schedules[0] has cron and interval"),
        ({"cron": "@daily", "timezone": "UTC"}, "unknown fields timezone"),
        ({"name": "x", "cron": "0 24 * * *"}, 'schedules[0] "x": cron "0 24 * * *": hour "24" is not valid'),
        ({"cron": "@daily", "timeZone": "Europe/Berln"}, "did you mean Europe/Berlin"),
        ({"cron": "@daily", "timeZone": "../etc"}, 'timeZone "../etc" is not known'),
        ({"cron": "@daily", "timeZone": 1}, "timeZone is 1"),
        ({"cron": "@daily", "parameters": [1]}, "parameter_defaults is [1]"),
        ({"cron": "@daily", "startDate": "2026-01-01"}, "startDate is '2026-01-01'; give a time with its distance"),
        ({"cron": "@daily", "endDate": "soon"}, "endDate is 'soon'"),
        (
            {"cron": "@daily", "startDate": "2026-01-02T00:00:00Z", "endDate": "2026-01-01T00:00:00Z"},
            "before it starts",
        ),
        ({"interval": "5"}, "interval is '5'; give numbers with d, h, m or s"),
        ({"interval": "0s"}, "at least timedelta(seconds=1)"),
        ({"interval": "9999999999d"}, "longer than the calendar"),
        ({"interval": 5}, "interval is 5"),
        ({"rrule": "FREQ=OFTEN"}, "rrule 'FREQ=OFTEN' is not valid"),
        ({"rrule": ""}, "rrule '' has no FREQ"),
        ({"rrule": "DTSTART:20260101T000000"}, "has no FREQ"),
        ({"rrule": "DTSTART:20260101T000000\nFREQ=DAILY\nX"}, "is not valid"),
        ({"rrule": "FREQ=DAILY;BYMONTH=13"}, "BYMONTH is 13; it may be 1 to 12"),
        ({"rrule": "FREQ=DAILY;BYMONTHDAY=1,0"}, "BYMONTHDAY is 0; it may be 1 to 31, or -1 to -31 from the end"),
        ({"rrule": "FREQ=DAILY;BYHOUR=24"}, "BYHOUR is 24; it may be 0 to 23"),
        ({"interval": "1d", "endDate": "9999-12-31T23:59:59Z", "timeZone": "Europe/Berlin"}, "endDate is '9999"),
        ({"interval": "1d", "timeZone": "localtime"}, 'timeZone "localtime" is not known'),
        ({"rrule": 5}, "rrule is 5"),
        ({"rrule": "DTSTART;TZID=Mars/Base:20260101T000000\nRRULE:FREQ=DAILY"}, '"Mars/Base" is not known'),
        ({"rrule": "FREQ=DAILY;INTERVAL=0"}, "gives no dates"),
        ({"dates": []}, "has no dates"),
        ({"dates": "2026-01-01T00:00:00Z"}, "give a list of times"),
        ({"dates": ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00"]}, "dates[1] is '2026-01-01T00:00:00'"),
        ({"dates": ["2026-01-01T00:00:00Z"], "endDate": "2026-01-01T00:00:00Z"}, "endDate say nothing with dates"),
    ],
    ids=str,
)
def test_an_entry_that_is_wrong_is_told_by_its_place_and_field(entry: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011  # the words are looked at below
        from_manifest([entry])
    assert words in str(raised.value)
    assert str(raised.value).startswith("schedules[0]")
    assert "\n" not in str(raised.value)


def test_a_list_is_wanted() -> None:
    with pytest.raises(TypeError, match="give a list of entries"):
        from_manifest({"cron": "@daily"})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="give a mapping"):
        from_manifest(["@daily"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="has no clocks"):
        from_manifest([])
