"""Schedules: which moments clocks give, above all when clocks are put forward or back, and what is left of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import cloudpickle
import pytest
from dateutil import tz
from dateutil.rrule import DAILY, HOURLY, MINUTELY, MO, MONTHLY, SECONDLY, WEEKLY, YEARLY, rrule, rruleset
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from headwater.schedules import (
    Clock,
    ClockEvent,
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
from headwater.schedules.recurrence import Recurrence

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")

# Zones, and moments at which their clocks change.
CHANGES = [
    (BERLIN, datetime(2026, 3, 29, 1, tzinfo=UTC)),
    (BERLIN, datetime(2026, 10, 25, 1, tzinfo=UTC)),
    (NEW_YORK, datetime(2026, 3, 8, 7, tzinfo=UTC)),
    (NEW_YORK, datetime(2026, 11, 1, 6, tzinfo=UTC)),
    (ZoneInfo("Australia/Lord_Howe"), datetime(2026, 4, 4, 15, tzinfo=UTC)),  # by half an hour
    (ZoneInfo("Australia/Lord_Howe"), datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    (ZoneInfo("America/Sao_Paulo"), datetime(2018, 11, 4, 3, tzinfo=UTC)),  # at midnight
    (ZoneInfo("America/Sao_Paulo"), datetime(2019, 2, 17, 2, tzinfo=UTC)),
    (ZoneInfo("Europe/Dublin"), datetime(2026, 10, 25, 1, tzinfo=UTC)),  # winter is its daylight saving time
    (ZoneInfo("Pacific/Apia"), datetime(2011, 12, 30, 10, tzinfo=UTC)),  # by a whole day
]


def local(text: str, zone: tzinfo = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def shown(times: list[datetime]) -> list[str]:
    """Day, time on the wall, distance to UTC: Python would take the two times of a fold for one."""
    return [f"{moment:%d %H:%M%z}"[:-2] for moment in times]


def moments(times: list[datetime]) -> list[datetime]:
    return [moment.astimezone(UTC) for moment in times]


# Clocks that are put forward and back


@pytest.mark.parametrize(
    ("cron", "spring", "autumn"),
    [
        ("0 * * * *", "01:00+01 03:00+02 04:00+02 05:00+02", "01:00+02 02:00+02 02:00+01 03:00+01"),
        ("30 * * * *", "00:30+01 01:30+01 03:30+02 04:30+02", "00:30+02 01:30+02 02:30+02 02:30+01"),
        ("*/30 * * * *", "00:30+01 01:00+01 01:30+01 03:00+02", "00:30+02 01:00+02 01:30+02 02:00+02"),
        ("0,30 0-23 * * *", "00:30+01 01:00+01 01:30+01 03:00+02", "00:30+02 01:00+02 01:30+02 02:00+02"),
        ("0 */2 * * *", "03:00+02 04:00+02 06:00+02 08:00+02", "02:00+02 04:00+01 06:00+01 08:00+01"),
        ("0 1-3 * * *", "01:00+01 03:00+02", "01:00+02 02:00+02 03:00+01"),
        ("30 1-3 * * *", "01:30+01 03:30+02", "01:30+02 02:30+02 03:30+01"),
        ("0,30 2,3 * * *", "03:00+02 03:30+02", "02:00+02 02:30+02 03:00+01 03:30+01"),
        ("30 2 * * *", "03:30+02", "02:30+02"),
        ("0 2 * * *", "03:00+02", "02:00+02"),
        ("0 3 * * *", "03:00+02", "03:00+01"),
        ("0 9 * * *", "09:00+02", "09:00+01"),
    ],
)
def test_a_cron_line_on_the_days_when_berlin_changes_its_clocks(cron: str, spring: str, autumn: str) -> None:
    for day, expected in (("2026-03-29", spring), ("2026-10-25", autumn)):
        schedule = CronSchedule(cron, start_date=local("2026-01-01"))
        wanted = [f"{day[-2:]} {each}" for each in expected.split()]
        assert shown(schedule.next(len(wanted), after=local(day))) == wanted


@pytest.mark.parametrize(
    ("cron", "spring", "autumn"),
    [
        ("0 * * * *", "01:00-05 03:00-04 04:00-04", "01:00-04 01:00-05 02:00-05"),
        ("45 * * * *", "00:45-05 01:45-05 03:45-04", "00:45-04 01:45-04 01:45-05"),
        ("15 2 * * *", "03:15-04", "02:15-05"),
        ("15 1 * * *", "01:15-05", "01:15-04"),
    ],
)
def test_a_cron_line_on_the_days_when_new_york_changes_its_clocks(cron: str, spring: str, autumn: str) -> None:
    for day, expected in (("2026-03-08", spring), ("2026-11-01", autumn)):
        schedule = CronSchedule(cron, start_date=local("2026-01-01", NEW_YORK))
        wanted = [f"{day[-2:]} {each}" for each in expected.split()]
        assert shown(schedule.next(len(wanted), after=local(day, NEW_YORK))) == wanted


@pytest.mark.parametrize(("zone", "change"), CHANGES[:4])
@pytest.mark.parametrize("cron", ["37 * * * *", "@hourly"])
def test_an_hourly_cron_takes_every_real_hour_once(cron: str, zone: ZoneInfo, change: datetime) -> None:
    found = moments(CronSchedule(cron, start_date=local("2026-01-01", zone)).next(48, after=change - timedelta(days=1)))
    assert {later - earlier for earlier, later in pairwise(found)} == {timedelta(hours=1)}


@pytest.mark.parametrize(
    ("interval", "start", "day", "expected"),
    [
        (timedelta(days=1), "2026-01-01T09:00", "2026-03-29", "09:00+02"),
        (timedelta(days=1), "2026-01-01T09:00", "2026-10-25", "09:00+01"),
        (timedelta(days=1), "2026-01-01T02:30", "2026-03-29", "03:30+02"),
        (timedelta(days=1), "2026-01-01T02:30", "2026-03-30", "02:30+02"),
        (timedelta(days=1), "2026-01-01T02:30", "2026-10-25", "02:30+02"),
        (timedelta(hours=36), "2026-03-27T21:00", "2026-03-29", "09:00+02"),
        (timedelta(hours=12), "2026-03-28T06:00", "2026-03-29", "07:00+02 19:00+02"),
        (timedelta(hours=23, minutes=59, seconds=59), "2026-03-28T09:00:01", "2026-03-29", "10:00+02"),
        (timedelta(hours=1), "2026-01-01", "2026-03-29", "01:00+01 03:00+02 04:00+02"),
        (timedelta(hours=1), "2026-01-01", "2026-10-25", "01:00+02 02:00+02 02:00+01 03:00+01"),
        (timedelta(minutes=45), "2026-10-25", "2026-10-25", "00:45+02 01:30+02 02:15+02 02:00+01 02:45+01 03:30+01"),
    ],
)
def test_an_interval_keeps_the_wall_from_a_day_on_and_real_time_below(
    interval: timedelta, start: str, day: str, expected: str
) -> None:
    wanted = [f"{day[-2:]} {each}" for each in expected.split()]
    assert shown(IntervalSchedule(local(start), interval).next(len(wanted), after=local(day))) == wanted


def test_a_start_in_the_second_hour_of_a_fold_is_that_hour() -> None:
    start = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1)
    for clock in (IntervalClock(timedelta(days=1), start), IntervalClock(timedelta(hours=24), start)):
        assert shown(Schedule([clock]).next(2, after=start - timedelta(days=3))) == ["25 02:30+01", "26 02:30+01"]
    assert shown(CronSchedule("0,45 * * * *", start).next(2, after=local("2026-10-20"))) == [
        "25 02:45+01",
        "25 03:00+01",
    ]


def test_a_rule_follows_the_wall() -> None:
    rule = rrule(DAILY, dtstart=local("2026-03-28T02:30"))
    assert shown(RRuleSchedule(rule).next(3, after=local("2026-03-28"))) == [
        "28 02:30+01",
        "29 03:30+02",
        "30 02:30+02",
    ]
    assert shown(RRuleSchedule(rule).next(2, after=local("2026-10-25"))) == ["25 02:30+02", "26 02:30+01"]
    hourly = RRuleSchedule(rrule(HOURLY, dtstart=local("2026-01-01")))
    assert shown(hourly.next(3, after=local("2026-10-25T01:30"))) == ["25 02:00+02", "25 03:00+01", "25 04:00+01"]


@st.composite
def near_a_change(draw: st.DrawFn) -> tuple[ZoneInfo, datetime]:
    zone, change = draw(st.sampled_from(CHANGES))
    minutes = draw(st.integers(-150, 150) | st.integers(-1500, 3000))
    return zone, change + timedelta(minutes=minutes, seconds=draw(st.sampled_from([0, 0, 1])))


def on_the_wall(zone: ZoneInfo, after: datetime, wanted: Callable[[datetime], bool], days: int) -> Iterator[datetime]:
    """Every minute on the wall that is wanted, looked at one by one, from well before *after* on."""
    wall = after.astimezone(zone).replace(tzinfo=None, second=0) - timedelta(days=2)
    for minute in range((days + 4) * 24 * 60):
        if wanted(wall + timedelta(minutes=minute)):
            yield wall + timedelta(minutes=minute)


@given(
    near_a_change(),
    st.sets(st.sampled_from([0, 15, 30, 59]), min_size=1),
    st.sets(st.integers(0, 4) | st.integers(21, 23), min_size=1),
)
@settings(max_examples=60, deadline=None)
def test_a_cron_line_for_some_hours_names_each_of_its_times_on_the_wall_once(
    place: tuple[ZoneInfo, datetime], minutes: set[int], hours: set[int]
) -> None:
    zone, after = place
    walls = on_the_wall(zone, after, lambda wall: wall.minute in minutes and wall.hour in hours, days=2)
    expected = {wall.replace(tzinfo=zone).astimezone(UTC) for wall in walls}
    cron = f"{','.join(map(str, minutes))} {','.join(map(str, hours))} * * *"
    found = moments(CronSchedule(cron, start_date=local("2010-01-01", zone)).next(10, after=after))
    until = min(found[-1], after + timedelta(days=2))
    assert [moment for moment in found if moment <= until] == sorted(
        moment for moment in expected if after < moment <= until
    )


@given(near_a_change(), st.sets(st.integers(0, 59), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_a_cron_line_for_every_hour_goes_by_what_the_wall_shows(
    place: tuple[ZoneInfo, datetime], minutes: set[int]
) -> None:
    zone, after = place
    real = (after.replace(second=0) + timedelta(minutes=minute) for minute in range(2 * 24 * 60))
    expected = [moment for moment in real if moment > after and moment.astimezone(zone).minute in minutes]
    schedule = CronSchedule(f"{','.join(map(str, minutes))} * * * *", start_date=local("2010-01-01", zone))
    assert moments(schedule.next(30, after=after)) == expected[:30]


@pytest.mark.parametrize(("zone", "change"), CHANGES, ids=str)
@pytest.mark.parametrize("cron", ["0,20 * * * *", "10,40 */2 * * *", "30 0,1,2,3 * * *"])
def test_no_time_is_lost_wherever_one_asks_around_a_change(cron: str, zone: ZoneInfo, change: datetime) -> None:
    schedule = CronSchedule(cron, start_date=local("2010-01-01", zone))
    known = moments(schedule.next(150, after=change - timedelta(days=2)))
    for quarters in range(-16, 16):
        after = change + quarters * timedelta(minutes=15)
        assert moments(schedule.next(2, after=after)) == [moment for moment in known if moment > after][:2]


# Properties of any schedule


def clocks(zone: ZoneInfo, start: datetime) -> st.SearchStrategy[Clock]:
    begins = start.astimezone(zone)
    intervals = st.sampled_from([1500, 3600, 5400, 86399, 86400, 90000, 7 * 86400]).map(lambda s: timedelta(seconds=s))
    crons = st.sampled_from(["7,37 * * * *", "30 2 * * *", "0 */3 * * *", "@daily", "15 1,2,3 * * 0,6", "0 0 L * 1"])
    rules = st.sampled_from(
        [
            rrule(DAILY, dtstart=begins.replace(fold=0)),
            rrule(HOURLY, interval=7, byminute=(0, 30), dtstart=begins.replace(tzinfo=None)),
            rrule(MINUTELY, interval=50, count=500, dtstart=begins.replace(fold=0)),
            rrule(WEEKLY, byweekday=MO, dtstart=begins.replace(fold=0)),
        ]
    )
    dates = st.lists(st.integers(-100, 4000), min_size=1, max_size=20)
    return st.one_of(
        intervals.map(lambda interval: IntervalClock(interval, begins)),
        crons.map(lambda cron: CronClock(cron, begins)),
        rules.map(lambda rule: RRuleClock(rule, begins)),
        dates.map(lambda found: DatesClock([begins + timedelta(minutes=minute) for minute in found])),
    )


@st.composite
def schedules(draw: st.DrawFn) -> tuple[Schedule, datetime]:
    zone, after = draw(near_a_change())
    found = draw(st.lists(clocks(zone, after - timedelta(hours=draw(st.integers(-5, 50)))), min_size=1, max_size=3))
    some = st.lists(st.sampled_from([filters.is_weekday, filters.between_times(time(22), time(3))]), max_size=1)
    moves = st.sampled_from(
        [
            adjustments.next_weekday,
            adjustments.add(timedelta(days=1)),
            adjustments.add(timedelta(hours=-30)),
            adjustments.add(timedelta(minutes=100)),
        ]
    )
    return Schedule(found, not_filters=draw(some), adjustments=draw(st.lists(moves, max_size=2))), after


@given(schedules())
@settings(max_examples=30, deadline=None)
def test_times_rise_and_are_the_same_asked_at_once_or_one_by_one(case: tuple[Schedule, datetime]) -> None:
    schedule, after = case
    for clock in schedule.clocks:
        times = moments([event.start_time for event in islice(clock.events(after), 8)])
        assert all(earlier < later for earlier, later in pairwise([after, *times]))
    at_once = schedule.next(8, after=after)
    assert all(earlier < later for earlier, later in pairwise([after, *moments(at_once)]))
    one_by_one: list[datetime] = []
    while len(one_by_one) < 8 and (found := schedule.next(1, after=one_by_one[-1] if one_by_one else after)):
        one_by_one += found
    assert moments(one_by_one) == moments(at_once)
    assert shown(one_by_one) == shown(at_once)


@given(schedules(), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_what_comes_after_a_later_moment_is_the_rest_of_what_comes_after_an_earlier(
    case: tuple[Schedule, datetime], hours: int
) -> None:
    schedule, after = case
    later = after + timedelta(hours=hours)
    known = moments(schedule.next(12, after=after))
    rest = [moment for moment in known if moment > later]
    assume(rest)
    assert moments(schedule.next(len(rest), after=later)) == rest


# Clocks


def test_a_clock_runs_from_its_start_to_its_end_both_included() -> None:
    start, end = local("2026-05-01T09:00"), local("2026-05-03T09:00")
    rule = rrule(DAILY, dtstart=local("2020-01-01T09:00"))
    for clock in (
        IntervalClock(timedelta(days=1), start, end),
        CronClock("0 9 * * *", start, end),
        RRuleClock(rule, start, end),
    ):
        schedule = Schedule([clock])
        assert shown(schedule.next(9, after=local("2026-01-01"))) == ["01 09:00+02", "02 09:00+02", "03 09:00+02"]
        assert shown(schedule.next(9, after=start)) == ["02 09:00+02", "03 09:00+02"]
        assert schedule.next(9, after=end) == []


def test_next_is_strictly_after_now_by_default() -> None:
    before = datetime.now(UTC)
    (found,) = IntervalSchedule(interval=timedelta(seconds=1)).next(1)
    assert before < found < datetime.now(UTC) + timedelta(seconds=1, milliseconds=1)


def test_times_without_a_zone_are_in_utc() -> None:
    nine = datetime(2026, 5, 1, 9, tzinfo=UTC)
    assert CronSchedule("0 9 * * *").next(1, after=datetime(2026, 5, 1)) == [nine]  # noqa: DTZ001
    assert CronSchedule("0 9 * * *", start_date=datetime(2026, 5, 1)).next(1, after=nine - timedelta(hours=1)) == [nine]  # noqa: DTZ001
    assert Schedule([DatesClock([datetime(2026, 5, 1, 9)])]).next(1, after=local("2026-01-01")) == [nine]  # noqa: DTZ001
    assert RRuleSchedule(rrule(DAILY, dtstart=datetime(2026, 5, 1, 9))).next(1, after=local("2026-01-01")) == [nine]  # noqa: DTZ001


def test_intervals_count_from_2019_without_a_start() -> None:
    schedule = IntervalSchedule(interval=timedelta(days=7))
    assert schedule.next(1, after=datetime.min) == [datetime(2019, 1, 1, tzinfo=UTC)]  # noqa: DTZ901
    assert schedule.next(1, after=datetime(2019, 1, 2, tzinfo=UTC)) == [datetime(2019, 1, 8, tzinfo=UTC)]


def test_times_are_plain_datetimes_in_the_zone_of_their_clock() -> None:
    class Moment(datetime):
        """As a library of dates has them."""

    start = Moment(2026, 5, 1, 9, tzinfo=tz.gettz("Europe/Berlin"))
    for clock in (
        IntervalClock(timedelta(hours=1), start),
        IntervalClock(timedelta(days=1), start),
        CronClock("0 9 * * *", start),
        RRuleClock(rrule(DAILY, dtstart=start)),
        DatesClock([start]),
    ):
        (found,) = Schedule([clock]).next(1, after=local("2026-04-30T23:00"))
        assert found == local("2026-05-01T09:00")
        assert type(found) is datetime
        assert found.tzinfo is BERLIN


def test_a_rule_without_a_zone_is_in_that_of_the_start() -> None:
    rule = rrule(DAILY, dtstart=datetime(2026, 5, 1, 9))  # noqa: DTZ001
    assert shown(RRuleSchedule(rule, local("2026-05-02")).next(1, after=local("2026-01-01"))) == ["02 09:00+02"]


def test_a_rule_with_an_end_in_utc_keeps_it() -> None:
    rule = rrule(HOURLY, dtstart=local("2026-05-01T09:00"), until=datetime(2026, 5, 1, 8, tzinfo=UTC))
    assert shown(RRuleSchedule(rule).next(9, after=local("2026-01-01"))) == ["01 09:00+02", "01 10:00+02"]


def test_a_set_of_rules_leaves_out_what_it_excludes() -> None:
    rules = rruleset()
    rules.rrule(rrule(DAILY, dtstart=local("2026-05-01T09:00"), count=4))
    rules.rdate(local("2026-05-02T12:00"))
    rules.exdate(local("2026-05-03T09:00"))
    assert shown(RRuleSchedule(rules).next(9, after=local("2026-01-01"))) == [
        "01 09:00+02",
        "02 09:00+02",
        "02 12:00+02",
        "04 09:00+02",
    ]


@pytest.mark.timeout(60)
def test_a_rule_of_seconds_that_began_long_ago_is_not_read_from_its_beginning() -> None:
    """It takes no time; reading the billions of dates before the one that is asked for takes hours."""
    start = datetime(1001, 1, 1, 0, 0, 3, tzinfo=UTC)
    rule = rrule(SECONDLY, interval=7, byminute=(0, 7, 30), dtstart=start)
    found = RRuleSchedule(rule).next(30, after=datetime(2026, 5, 1, tzinfo=UTC))
    assert len(found) == 30
    assert all((moment - start) % timedelta(seconds=7) == timedelta(0) for moment in found)
    assert {moment.minute for moment in found} == {0, 7, 30}


def test_dates_are_sorted_and_the_same_moment_is_one() -> None:
    noon = datetime(2026, 5, 1, 12, tzinfo=UTC)
    clock = DatesClock([noon + timedelta(days=1), noon.astimezone(BERLIN), noon])
    assert shown(Schedule([clock]).next(9, after=noon - timedelta(days=1))) == ["01 14:00+02", "02 12:00+00"]


def test_days_of_the_month_and_of_the_week_are_either_or_both() -> None:
    after = datetime(2026, 2, 1, tzinfo=UTC)
    assert [moment.day for moment in CronSchedule("0 0 13 * 5").next(3, after=after)] == [6, 13, 20]
    both = CronSchedule("0 0 13 * 5", day_or=False).next(2, after=after)
    assert [(moment.month, moment.day) for moment in both] == [(2, 13), (3, 13)]


def test_a_schedule_ends_with_the_calendar() -> None:
    near = datetime(9999, 12, 30, tzinfo=UTC)
    for clock in (IntervalClock(timedelta(days=1)), IntervalClock(timedelta(hours=9)), CronClock("@daily")):
        found = Schedule([clock]).next(50, after=near - timedelta(days=9))
        assert 0 < len(found) < 50


def test_a_clock_of_ones_own() -> None:
    class AtPrimes(Clock):
        def slots(self, after: datetime) -> Iterator[datetime]:
            return (datetime(2026, 5, day, tzinfo=BERLIN) for day in (2, 3, 5, 7, 11))

    found = Schedule([AtPrimes(end_date=local("2026-05-08"))]).next(9, after=local("2026-05-03"))
    assert [moment.day for moment in found] == [5, 7]


# Schedules


def test_events_of_all_clocks_are_merged_and_those_that_are_the_same_are_one() -> None:
    berlin, utc = CronClock("0 */6 * * *", local("2026-01-01")), CronClock("0 */4 * * *")
    found = Schedule([berlin, utc, utc]).next(7, after=local("2026-05-01"))
    assert [f"{moment:%H}" for moment in moments(found)] == ["00", "04", "08", "10", "12", "16", "20"]


def test_clocks_with_other_parameters_give_an_event_each() -> None:
    nine = local("2026-05-01T09:00")
    schedule = Schedule(
        [
            CronClock("0 9 * * *", nine, parameter_defaults={"airport": "IAD"}, labels=["big"]),
            CronClock("0 7 * * *", parameter_defaults={"airport": "BER"}),
            CronClock("0 7 * * *", parameter_defaults={"airport": "BER"}),
        ]
    )
    after = nine - timedelta(hours=1)
    events = schedule.next(3, after=after, return_events=True)
    assert sorted(events[:2], key=lambda event: event.parameter_defaults["airport"]) == [
        ClockEvent(nine, {"airport": "BER"}),
        ClockEvent(nine, {"airport": "IAD"}, ["big"]),
    ]
    assert events[2].start_time > nine
    assert [moment.day for moment in schedule.next(2, after=after)] == [1, 2]


def test_events_do_not_share_their_parameters() -> None:
    schedule = Schedule([CronClock("@daily", parameter_defaults={"x": 1})])
    first, second = schedule.next(2, return_events=True)
    first.parameter_defaults["x"] = 2
    assert second.parameter_defaults == {"x": 1}
    assert schedule.next(1, return_events=True)[0].parameter_defaults == {"x": 1}


def test_events_are_equal_by_moment_parameters_and_labels() -> None:
    nine = local("2026-05-01T09:00")
    event = ClockEvent(nine, {"x": 1})
    assert event == ClockEvent(nine.astimezone(UTC), {"x": 1})
    assert hash(event) == hash(ClockEvent(nine.astimezone(UTC), {"x": 1}))
    assert event != ClockEvent(nine, {"x": 2})
    assert event != ClockEvent(nine, {"x": 1}, ["big"])
    first = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN)
    assert ClockEvent(first) < ClockEvent(first.replace(fold=1))
    assert ClockEvent(first) != ClockEvent(first.replace(fold=1))


def test_all_filters_any_or_filter_and_no_not_filter_must_accept() -> None:
    schedule = Schedule(
        [IntervalClock(timedelta(hours=1), local("2026-01-01"))],
        filters=[filters.is_weekday, lambda slot: slot.day > 5],
        or_filters=[filters.at_time(time(9)), filters.at_time(time(17))],
        not_filters=[filters.on_date(5, 7)],
    )
    assert shown(schedule.next(5, after=local("2026-05-01"))) == [
        "06 09:00+02",
        "06 17:00+02",
        "08 09:00+02",
        "08 17:00+02",
        "11 09:00+02",
    ]


YEAR = [local("2026-01-01T00:00") + timedelta(hours=hour) for hour in range(0, 24 * 365, 6)]


@pytest.mark.parametrize(
    ("accepts", "expected"),
    [
        (filters.on_datetime(datetime(2026, 5, 1, 4, tzinfo=UTC)), lambda t: t == local("2026-05-01T06:00")),
        (filters.on_date(5, 1), lambda t: (t.month, t.day) == (5, 1)),
        (filters.at_time(time(6)), lambda t: t.hour == 6),
        (
            filters.between_datetimes(local("2026-05-01"), local("2026-06-01")),
            lambda t: t.month == 5 or t == local("2026-06-01"),
        ),
        (filters.between_dates(5, 1, 6, 1), lambda t: t.month == 5 or (t.month, t.day) == (6, 1)),
        (filters.between_dates(12, 30, 1, 2), lambda t: t.strftime("%m%d") in ("1230", "1231", "0101", "0102")),
        (filters.between_times(time(6), time(12)), lambda t: t.hour in (6, 12)),
        (filters.between_times(time(18), time(0)), lambda t: t.hour in (18, 0)),
        (filters.is_weekday, lambda t: t.isoweekday() <= 5),
        (filters.is_weekend, lambda t: t.strftime("%a") in ("Sat", "Sun")),
        (filters.is_month_end, lambda t: (t.date() + timedelta(days=1)).month != t.month),
        (filters.is_month_start, lambda t: t.day == 1),
        (filters.is_day_of_week(0), lambda t: t.strftime("%a") == "Sun"),
        (filters.is_day_of_week(6), lambda t: t.strftime("%a") == "Sat"),
    ],
    ids=str,
)
def test_a_filter_accepts(accepts: filters.Filter, expected: Callable[[datetime], bool]) -> None:
    accepted = [moment for moment in YEAR if accepts(moment)]
    assert accepted == [moment for moment in YEAR if expected(moment)]
    assert 0 < len(accepted) < len(YEAR)


def test_filters_look_at_the_wall_of_the_clock() -> None:
    friday_night = local("2026-05-01T23:30", NEW_YORK)  # Saturday in UTC
    assert Schedule([DatesClock([friday_night])], filters=[filters.is_weekday]).next(1, after=local("2026-01-01"))
    in_utc = DatesClock([friday_night.astimezone(UTC)])
    assert not Schedule([in_utc], filters=[filters.is_weekday]).next(1, after=local("2026-01-01"))


def test_a_schedule_gives_up_after_10000_slots_that_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[datetime] = []

    def seldom(slot: datetime) -> bool:
        asked.append(slot)
        return slot.hour < 2 and slot.day == 1

    minutely = Schedule([IntervalClock(timedelta(minutes=1), local("2026-04-30T18:00"))], filters=[seldom])
    assert len(minutely.next(500, after=local("2026-04-30"))) == 120
    assert len(asked) == 360 + 120 + 10_000
    assert "refused 10000 slots in a row" in caplog.text


def test_a_schedule_without_filters_does_not_give_up() -> None:
    found = IntervalSchedule(local("2026-05-01"), timedelta(minutes=1)).next(12_000, after=local("2026-05-01"))
    assert len(found) == 12_000


def test_the_weekend_moves_to_monday_and_what_is_there_already_is_one() -> None:
    schedule = Schedule([CronClock("0 8,20 * * *", local("2026-01-01"))], adjustments=[adjustments.next_weekday])
    assert shown(schedule.next(5, after=local("2026-05-01T12:00"))) == [
        "01 20:00+02",
        "04 08:00+02",
        "04 20:00+02",
        "05 08:00+02",
        "05 20:00+02",
    ]


def test_a_slot_of_saturday_that_moved_to_monday_is_found_on_sunday() -> None:
    schedule = Schedule([CronClock("0 9 * * 6", local("2026-01-01"))], adjustments=[adjustments.next_weekday])
    assert shown(schedule.next(2, after=local("2026-05-03T12:00"))) == ["04 09:00+02", "11 09:00+02"]


def test_adding_a_day_keeps_the_wall_and_adding_less_keeps_real_time() -> None:
    slot = local("2026-03-28T09:00")
    assert shown([adjustments.add(timedelta(days=1))(slot)]) == ["29 09:00+02"]
    assert shown([adjustments.add(timedelta(hours=23))(slot)]) == ["29 09:00+02"]
    assert shown([adjustments.add(timedelta(days=1))(local("2026-03-28T02:30"))]) == ["29 03:30+02"]


@pytest.mark.parametrize(("days", "day"), [(1, 28), (-1, 30)])
def test_times_that_are_moved_into_a_gap_still_come_in_order(days: int, day: int) -> None:
    """02:30 becomes 03:30, 03:00 stays."""
    dates = DatesClock([local(f"2026-03-{day}T02:30"), local(f"2026-03-{day}T03:00")])
    schedule = Schedule([dates], adjustments=[adjustments.add(timedelta(days=days))])
    assert shown(schedule.next(9, after=local("2026-03-01"))) == ["29 03:00+02", "29 03:30+02"]


def test_adjustments_follow_one_another() -> None:
    to_saturday_then_monday = [adjustments.add(timedelta(days=1)), adjustments.next_weekday]
    schedule = Schedule([CronClock("0 9 * * 5", local("2026-01-01"))], adjustments=to_saturday_then_monday)
    assert shown(schedule.next(1, after=local("2026-05-01T10:00"))) == ["04 09:00+02"]


def test_an_adjustment_of_ones_own_may_be_any_function() -> None:
    schedule = Schedule([CronClock("0 9 * * *")], adjustments=[lambda slot: slot.replace(minute=7, tzinfo=None)])
    assert shown(schedule.next(1, after=datetime(2026, 5, 1, tzinfo=UTC))) == ["01 09:07+00"]


def test_a_schedule_travels_with_its_flow() -> None:
    schedule = Schedule(
        [CronClock("0 9 * * *", local("2026-01-01")), RRuleClock(rrule(DAILY, dtstart=local("2026-01-01T10:00")))],
        filters=[filters.is_weekday, filters.between_times(time(8), time(18))],
        adjustments=[adjustments.add(timedelta(hours=1)), adjustments.next_weekday],
    )
    again = cloudpickle.loads(cloudpickle.dumps(schedule))
    after = local("2026-05-01")
    assert again.next(9, after=after, return_events=True) == schedule.next(9, after=after, return_events=True)


def test_headwater_alone_loads_neither_croniter_nor_dateutil() -> None:
    code = "import headwater, sys; print({'croniter', 'dateutil', 'headwater.schedules'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


# Mistakes

MISTAKES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: CronClock("0 24 * * *"), ValueError, 'hour "24" is not valid; give 0-23'),
    (lambda: CronClock("61 * * * *"), ValueError, 'minute "61"'),
    (lambda: CronClock("0 0 32 * *"), ValueError, 'day of month "32"'),
    (lambda: CronClock("0 0 * 13 *"), ValueError, 'month "13"'),
    (lambda: CronClock("0 0 * * foo"), ValueError, 'day of week "foo"'),
    (lambda: CronClock("*/0 * * * *"), ValueError, 'minute "*/0"'),
    (lambda: CronClock("R * * * *"), ValueError, 'minute "R"'),
    (lambda: CronClock("0 0 31 2 *"), ValueError, "names no day that exists"),
    (lambda: CronClock("0 0 31 2 1", day_or=False), ValueError, "names no day that exists"),
    (lambda: CronClock("* * * *"), ValueError, "has 4 fields, but a cron has five"),
    (lambda: CronClock("* * * * * *"), ValueError, "use an IntervalClock for seconds"),
    (lambda: CronClock(""), ValueError, "has 0 fields"),
    (lambda: CronClock("@reboot"), ValueError, "give one of @hourly"),
    (lambda: CronSchedule(timedelta(hours=1)), TypeError, "five fields"),  # type: ignore[arg-type]
    (lambda: IntervalClock(timedelta(0)), ValueError, "at least timedelta(seconds=1)"),
    (lambda: IntervalClock(timedelta(days=-1)), ValueError, "interval is -86400 seconds"),
    (lambda: IntervalClock(timedelta(milliseconds=999)), ValueError, "interval is 0.999 seconds"),
    (lambda: IntervalClock(3600), TypeError, "give a timedelta"),  # type: ignore[arg-type]
    (lambda: IntervalSchedule(timedelta(hours=1)), TypeError, "takes interval=... second"),  # type: ignore[arg-type]
    (lambda: IntervalSchedule(local("2026-01-01")), TypeError, "has no interval"),
    (lambda: CronClock("@daily", local("2026-01-02"), local("2026-01-01")), ValueError, "before it starts"),
    (lambda: CronClock("@daily", "2026-01-01"), TypeError, "start_date is '2026-01-01'; give a datetime"),  # type: ignore[arg-type]
    (lambda: CronClock("@daily", end_date=date(2026, 1, 1)), TypeError, "end_date is datetime.date"),  # type: ignore[arg-type]
    (lambda: CronClock("@daily", labels="prod"), TypeError, "labels is 'prod'"),
    (lambda: CronClock("@daily", parameter_defaults=[1]), TypeError, "parameter_defaults is [1]"),  # type: ignore[arg-type]
    (lambda: CronClock("@daily", parameter_defaults={1: 2}), TypeError, "names of parameters"),  # type: ignore[dict-item]
    (lambda: DatesClock([]), ValueError, "has no dates"),
    (lambda: DatesClock([local("2026-01-01"), date(2026, 1, 1)]), TypeError, "dates[1] is"),
    (lambda: DatesClock(local("2026-01-01")), TypeError, "give a list of datetimes"),  # type: ignore[arg-type]
    (lambda: RRuleClock("FREQ=DAILY"), TypeError, "give dateutil's rrule"),  # type: ignore[arg-type]
    (lambda: RRuleClock(rruleset()), ValueError, "gives no dates"),
    (lambda: RRuleClock(rrule(YEARLY, count=0, dtstart=local("2026-01-01"))), ValueError, "gives no dates"),
    (lambda: RRuleClock(rrule(DAILY, interval=0, dtstart=local("2026-01-01"))), ValueError, "gives no dates"),
    (lambda: Schedule([]), ValueError, "has no clocks"),
    (lambda: Schedule(CronClock("@daily")), TypeError, "give a list of clocks"),  # type: ignore[arg-type]
    (lambda: Schedule(["@daily"]), TypeError, "clocks[0] is '@daily'"),  # type: ignore[list-item]
    (lambda: Schedule([CronSchedule("@daily")]), TypeError, "[*schedule.clocks]"),  # type: ignore[list-item]
    (lambda: Schedule([CronClock("@daily")], filters=["x"]), TypeError, "filters[0] is 'x'"),  # type: ignore[list-item]
    (lambda: Schedule([CronClock("@daily")], or_filters=filters.is_weekday), TypeError, "give a list of functions"),  # type: ignore[arg-type]
    (lambda: Schedule([CronClock("@daily")], adjustments=[timedelta(1)]), TypeError, "adjustments[0]"),  # type: ignore[list-item]
    (lambda: Schedule([CronClock("@daily")], filters=[lambda _: bool]).next(1), TypeError, "call it in the schedule"),
    (lambda: Schedule([CronClock("@daily")], adjustments=[str]).next(1), TypeError, "what adjustment str gives is"),  # type: ignore[list-item]
    (lambda: CronSchedule("@daily").next(-1), ValueError, "n is -1"),
    (lambda: CronSchedule("@daily").next("1"), TypeError, "n is '1'"),  # type: ignore[call-overload]
    (lambda: CronSchedule("@daily").next(1, after="now"), TypeError, "after is 'now'"),  # type: ignore[call-overload]
    (lambda: filters.on_date(2, 30), ValueError, "day 30 in month 2"),
    (lambda: filters.at_time("9:00"), TypeError, "give a time"),  # type: ignore[arg-type]
    (lambda: filters.at_time(time(9, tzinfo=UTC)), ValueError, "give it without"),
    (lambda: filters.is_day_of_week(7), ValueError, "0 for Sunday"),
    (lambda: filters.between_datetimes(local("2026-02-01"), local("2026-01-01")), ValueError, "exchange start and end"),
    (lambda: adjustments.add(1), TypeError, "give a timedelta"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("mistake", "error", "words"), MISTAKES, ids=[words for _, _, words in MISTAKES])
def test_a_mistake_is_told_with_what_to_do(mistake: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error) as raised:
        mistake()
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_clock_shows_what_it_was_given() -> None:
    fixed = timezone(timedelta(hours=2))
    clock = CronClock("@daily", datetime(2026, 1, 1, tzinfo=fixed), labels=["prod"])
    assert "cron='@daily'" in repr(clock)
    assert "labels=['prod']" in repr(clock)
    assert repr(Schedule([clock], filters=[filters.is_weekday])).endswith("filters=[is_weekday])")
    assert list(islice(clock.events(datetime(2026, 1, 1, tzinfo=fixed)), 1)) == [
        ClockEvent(datetime(2026, 1, 2, tzinfo=fixed), {}, ["prod"])
    ]


def wall(text: str) -> datetime:
    return datetime.fromisoformat(text)


@st.composite
def rules(draw: st.DrawFn) -> rrule:
    """Rules of all frequencies with parts of all kinds, begun at the end of a month as well."""
    frequency = draw(st.sampled_from([YEARLY, MONTHLY, WEEKLY, DAILY, HOURLY, MINUTELY]))
    parts: dict[str, Any] = {
        "bymonth": draw(st.none() | st.integers(1, 12)),
        "bymonthday": draw(st.none() | st.sampled_from([1, 28, 31, -1])),
        "byweekday": draw(st.none() | st.integers(0, 6)),
        "byhour": draw(st.none() | st.sets(st.integers(0, 23), min_size=1, max_size=3)),
    }
    if any(part is not None for part in parts.values()):
        parts["bysetpos"] = draw(st.none() | st.sampled_from([1, -1]))
    start = draw(st.datetimes(wall("2019-01-01"), wall("2020-12-31"))).replace(microsecond=0)
    try:
        return rrule(
            frequency,
            dtstart=start,
            interval=draw(st.integers(1, 5)),
            wkst=draw(st.sampled_from([0, 6])),
            until=wall("2024-01-01") if frequency in (HOURLY, MINUTELY) else wall("2027-01-01"),
            **parts,
        )
    except ValueError:
        assume(False)  # hours that such steps never meet
        raise


@settings(max_examples=100, deadline=None)
@given(rules(), st.datetimes(wall("2019-01-01"), wall("2023-12-31")))
def test_a_rule_that_is_entered_late_has_the_dates_of_one_read_from_its_start(rule: rrule, first: datetime) -> None:
    if vars(rule)["_freq"] == MINUTELY:
        first = vars(rule)["_dtstart"] + (first - wall("2019-01-01")) / 50  # each minute is read one by one
    expected = list(islice((date for date in rule if date >= first), 5))
    assert list(islice(Recurrence(rule).walls(first), 5)) == expected
    if len(expected) > 1:
        both = rruleset()
        both.rrule(rule)
        both.exdate(expected[0])
        assert list(islice(Recurrence(both).walls(first), 4)) == expected[1:]
