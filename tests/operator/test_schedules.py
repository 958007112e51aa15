"""Which runs the schedules of a Flow ask for, as tables."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headwater.resources.conditions import timestamp
from headwater.schedules.manifest import clock_from_manifest
from headwater_operator.flows import schedules
from headwater_operator.flows.schedules import EVALUATION_SECONDS, due, unnoted
from headwater_operator.flows.slots import AT_A_TIME


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def flow(*entries: dict[str, Any], last: str | None = None, name: str = "etl", **spec: Any) -> dict[str, Any]:
    """A flow whose entries were handled until *last*."""
    named = [{"name": f"s{number}", **entry} for number, entry in enumerate(entries)]
    found: dict[str, Any] = {
        "apiVersion": "headwater.dev/v1alpha1",
        "kind": "Flow",
        "metadata": {"name": name, "namespace": "ns", "uid": "u"},
        "spec": {"schedules": named, **spec},
    }
    if last is not None:
        handled = [{"name": entry["name"], "lastSlot": timestamp(at(last))} for entry in named]
        found["status"] = {"schedules": handled}
    return found


def slots(found: Any) -> list[str]:
    return [run["spec"]["scheduledTime"][:16].replace("T", " ") for run in found.runs]


HOURLY = {"cron": "0 * * * *"}


def test_one_that_is_new_begins_now() -> None:
    found = due(flow(HOURLY), at("2026-11-23 10:30"))
    assert not found.runs
    assert found.next_run == at("2026-11-23 11:00")
    (told,) = found.status
    assert told["lastSlot"] == "2026-11-23T10:30:00.000000Z"
    assert told["nextRunTime"] == "2026-11-23T11:00:00.000000Z"
    assert found.again_seconds == 60


def test_a_slot_makes_a_run_that_says_what_it_is_for() -> None:
    entry = {**HOURLY, "parameters": {"airport": "ZRH"}, "labels": ["big", "night"]}
    (run,) = due(flow(entry, last="2026-11-23 10:00"), at("2026-11-23 11:00:02")).runs
    assert run["metadata"]["name"] == "etl-s0-20261123110000"
    assert run["metadata"]["ownerReferences"][0]["uid"] == "u"
    assert run["metadata"]["labels"]["headwater.dev/schedule"] == "s0"
    assert run["metadata"]["annotations"] == {"headwater.dev/labels": "big,night"}
    assert run["spec"] == {
        "flow": "etl",
        "scheduledTime": "2026-11-23T11:00:00.000000Z",
        "parameters": {"airport": "ZRH"},
    }


def test_a_name_that_is_too_long_ends_in_a_hash_of_its_own() -> None:
    long = flow(HOURLY, last="2026-11-23 10:00", name="a" * 52)
    (one,) = due(long, at("2026-11-23 11:00")).runs
    long["status"]["schedules"][0]["lastSlot"] = timestamp(at("2026-11-23 11:00"))
    (two,) = due(long, at("2026-11-23 12:00")).runs
    for run, stamp in ((one, "20261123110000"), (two, "20261123120000")):
        name = run["metadata"]["name"]
        assert len(name) <= 52
        assert f"-{stamp}-" in name, "two times never share a name"


def test_schedules_of_two_flows_never_share_a_name() -> None:
    names = set()
    for name, schedule in (("a", "b-c"), ("a-b", "c")):
        seen = flow({**HOURLY, "name": schedule}, last="2026-11-23 10:00", name=name)
        (run,) = due(seen, at("2026-11-23 11:00")).runs
        names.add(run["metadata"]["name"])
    assert len(names) == 2
    assert "a-b-c-20261123110000" in names


# Away over ten slots: the last one handled was 00:00, and it is 10:30 now.
@pytest.mark.parametrize(
    ("catch_up", "wanted"),
    [
        (None, []),
        ("Skip", []),
        ("Latest", ["2026-11-23 10:00"]),
        ("All", [f"2026-11-23 {hour:02}:00" for hour in range(1, 11)]),
    ],
)
def test_slots_that_were_missed_are_made_up_for_as_the_entry_says(catch_up: str | None, wanted: list[str]) -> None:
    entry = {**HOURLY, "catchUp": catch_up} if catch_up else HOURLY
    found = due(flow(entry, last="2026-11-23 00:00"), at("2026-11-23 10:30"))
    assert slots(found) == wanted
    assert found.status[0]["lastSlot"] == "2026-11-23T10:00:00.000000Z", "it is not asked again"


@pytest.mark.parametrize(("seconds", "made"), [(0, 1), (59, 1), (61, 0)])
def test_a_slot_is_on_time_for_a_minute(seconds: int, made: int) -> None:
    now = at("2026-11-23 11:00") + timedelta(seconds=seconds)
    assert len(due(flow(HOURLY, last="2026-11-23 10:00"), now).runs) == made


def test_many_missed_ones_are_made_a_few_at_a_time() -> None:
    seen = flow({"interval": "1m", "catchUp": "All"}, last="2026-11-23 00:00")
    now, found = at("2026-11-23 01:00"), []
    while True:
        asked = due(seen, now)
        assert len(asked.runs) <= AT_A_TIME
        if not asked.runs:
            break
        found += slots(asked)
        seen["status"] = {"schedules": asked.status}
    assert found == [f"2026-11-23 00:{minute:02}" for minute in range(1, 60)] + ["2026-11-23 01:00"]


def test_the_newest_of_a_million_missed_ones_is_found() -> None:
    found = due(flow({"interval": "1s", "catchUp": "Latest"}, last="2026-11-01 00:00"), at("2026-11-23 10:00:00"))
    assert slots(found) == ["2026-11-23 10:00"]


@pytest.mark.parametrize("where", ["entry", "flow"])
def test_what_passes_while_it_is_suspended_is_not_made_up_for(where: str) -> None:
    entry = {**HOURLY, "catchUp": "All"}
    seen = flow({**entry, "suspend": where == "entry"}, last="2026-11-23 00:00", suspend=where == "flow")
    found = due(seen, at("2026-11-23 10:30"))
    assert not found.runs
    assert found.next_run is None
    resumed = {**flow(entry), "status": {"schedules": found.status}}
    # The last of its times is seconds ago, but it was suspended then.
    began = due(resumed, at("2026-11-23 11:00:20"))
    assert not began.runs
    assert not began.missed
    later = {**flow(entry), "status": {"schedules": began.status}}
    assert slots(due(later, at("2026-11-23 12:00"))) == ["2026-11-23 12:00"]


def test_one_that_is_suspended_asks_for_nothing_and_changes_nothing() -> None:
    seen = flow({**HOURLY, "suspend": True}, last="2026-11-23 00:00")
    first = due(seen, at("2026-11-23 10:30"))
    later = due({**seen, "status": {"schedules": first.status}}, at("2026-11-24 10:30"))
    assert later.status == first.status
    assert first.status[0]["suspended"] is True


def test_a_clock_that_is_put_back_makes_nothing_twice_and_goes_on() -> None:
    seen = flow(HOURLY, last="2026-11-23 11:00")
    assert not due(seen, at("2026-11-23 10:59:30")).runs, "a little back: the slot has its run"
    far = flow(HOURLY, last="2030-01-01 00:00")
    found = due(far, at("2026-11-23 10:30"))
    assert not found.runs
    assert found.status[0]["lastSlot"] == "2026-11-23T10:30:00.000000Z"
    assert found.next_run == at("2026-11-23 11:00")


def test_a_clock_that_is_put_back_by_hours_makes_no_time_twice() -> None:
    """However many there were: what was handled stays so until the clock has come by."""
    seen = flow({"interval": "1m"}, last="2026-11-23 11:00")
    for minute in range(0, 65, 5):
        now = at("2026-11-23 10:00") + timedelta(minutes=minute)
        found = due(seen, now)
        assert slots(found) == ([] if minute <= 60 else slots(found)[-1:])
        assert now < found.next_run <= max(now, at("2026-11-23 11:00")) + timedelta(minutes=1)
        seen["status"] = {"schedules": found.status}


def test_a_slot_has_one_run_though_the_clock_comes_by_twice() -> None:
    seen = flow(HOURLY, last="2026-11-23 10:30")
    first = due(seen, at("2026-11-23 11:00"))
    assert slots(first) == ["2026-11-23 11:00"]
    back = due({**seen, "status": {"schedules": first.status}}, at("2026-11-23 10:40"))
    assert not back.runs
    again = due({**seen, "status": {"schedules": back.status}}, at("2026-11-23 11:00:05"))
    assert not again.runs
    later = due({**seen, "status": {"schedules": again.status}}, at("2026-11-23 12:00:05"))
    assert slots(later) == ["2026-11-23 12:00"]


def test_one_whose_times_were_changed_begins_now() -> None:
    seen = flow({"cron": "0 0 1 * *", "catchUp": "All"}, last="2026-11-01 00:00")
    handled = due(seen, at("2026-11-23 10:30")).status
    changed = {**flow({"interval": "1m", "catchUp": "All"}), "status": {"schedules": handled}}
    assert not due(changed, at("2026-11-23 10:30:30")).runs
    parameters = {
        **flow({"cron": "0 0 1 * *", "catchUp": "All", "parameters": {"a": 1}}),
        "status": {"schedules": handled},
    }
    assert slots(due(parameters, at("2026-12-01 00:00"))) == ["2026-12-01 00:00"]


def test_a_rule_without_times_is_told_in_time() -> None:
    seen = flow({"rrule": "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30"}, HOURLY, last="2026-11-23 10:00")
    first = due(seen, at("2026-11-23 11:00"))
    assert 'schedules "s0" takes too long to find its times' in first.problems[0]
    # It has used up the time of this look; the others are looked at in a moment.
    found = due({**seen, "status": {"schedules": first.status}}, at("2026-11-23 11:00:01"))
    assert first.again_seconds == 0.5
    assert [run["metadata"]["labels"]["headwater.dev/schedule"] for run in found.runs] == ["s1"]
    assert found.problems == first.problems


def test_many_rules_without_times_are_told_one_by_one_and_once() -> None:
    rules = [f"RRULE:FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30\nEXDATE:2026010{day}T000000" for day in range(1, 5)]
    seen = flow(*({"rrule": rule} for rule in rules), last="2026-11-23 10:00")
    told = []
    for _ in rules:
        began = time.thread_time()
        found = due(seen, at("2026-11-23 11:00"))
        assert time.thread_time() - began < 2 * EVALUATION_SECONDS, "the limit is one for all of them"
        told.append(len(found.problems))
    assert told == [1, 2, 3, 4]
    began = time.thread_time()
    assert len(due(seen, at("2026-11-23 11:00:01")).problems) == len(rules)
    assert time.thread_time() - began < EVALUATION_SECONDS / 2, "they are not tried again"


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY;BYHOUR=8,9,10,11,12,13,14,15,16,17,18;BYMINUTE=0,15,30,45",
        f"FREQ=DAILY;BYHOUR={','.join(map(str, range(24)))};BYMINUTE=11,49,51;BYSECOND=0",
        "RRULE:FREQ=HOURLY\nEXDATE:20260101T000000",
        "DTSTART:19700101T000000\nRRULE:FREQ=DAILY",
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9,10,11,12;BYMINUTE=0,20,40",
        "FREQ=YEARLY;BYHOUR=9,10,11,12;BYDAY=MO,TU,WE,TH,FR,SA,SU",
    ],
)
def test_a_rule_with_many_times_is_no_slower_years_later(rule: str) -> None:
    seen = flow({"rrule": rule, "catchUp": "Latest"}, last="2031-11-20 00:00")
    began = time.thread_time()
    found = due(seen, at("2031-11-23 10:00"))
    assert not found.problems
    assert len(found.runs) == 1
    assert time.thread_time() - began < EVALUATION_SECONDS / 2


def test_nothing_is_looked_up_before_its_time() -> None:
    seen = flow({"rrule": "FREQ=DAILY;BYHOUR=9"}, last="2026-11-23 10:00")
    first = due(seen, at("2026-11-23 11:00"))
    slow = {**seen, "status": {"schedules": first.status}}
    assert due(slow, at("2026-11-23 20:00")).status == first.status
    assert slots(due(slow, at("2026-11-24 09:00:03"))) == ["2026-11-24 09:00"]


def test_what_no_library_expects_is_told_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(entry: dict[str, Any], where: str) -> Any:
        if entry["name"] == "s0":
            raise IndexError("list index out of range")
        return clock_from_manifest(entry, where)

    monkeypatch.setattr(schedules, "clock_from_manifest", broken)
    found = due(flow(HOURLY, HOURLY, last="2026-11-23 10:00"), at("2026-11-23 11:00"))
    assert [run["metadata"]["labels"]["headwater.dev/schedule"] for run in found.runs] == ["s1"]
    assert found.problems == ('schedules "s0" cannot be read: IndexError: list index out of range',)


def test_a_run_whose_time_is_not_noted_yet_is_told() -> None:
    seen = flow(HOURLY, last="2026-11-23 10:00")
    found = due(seen, at("2026-11-23 11:00"))
    (made,) = found.runs
    run = {**made, "metadata": {**made["metadata"], "uid": "1"}}
    assert unnoted(seen, [run]) == {"1"}
    assert unnoted({**seen, "status": {"schedules": found.status}}, [run]) == set()
    assert unnoted(seen, [{"metadata": {"uid": "2"}, "spec": {"flow": "etl"}}]) == set()


@pytest.mark.parametrize(
    ("entry", "last", "now", "wanted"),
    [
        # Clocks are put forward at 01:00 UTC: 02:30 does not exist and moves on by the hour.
        ({"cron": "30 2 * * *"}, "2026-03-28 12:00", "2026-03-29 12:00", ["2026-03-29 01:30"]),
        # And back at 01:00 UTC: 02:30 comes twice and is meant once.
        ({"cron": "30 2 * * *"}, "2026-10-24 12:00", "2026-10-25 12:00", ["2026-10-25 00:30"]),
        ({"cron": "0 9 * * 1-5"}, "2026-11-20 12:00", "2026-11-23 12:00", ["2026-11-23 08:00"]),
        (
            {"interval": "1d", "startDate": "2026-03-27T09:00:00+01:00"},
            "2026-03-28 09:00",
            "2026-03-29 09:00",
            ["2026-03-29 07:00"],
        ),
        (
            {"rrule": "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=8;BYMINUTE=0;BYSECOND=0"},
            "2026-11-01 00:00",
            "2026-11-30 00:00",
            ["2026-11-27 07:00"],
        ),
        (
            {"dates": ["2026-11-23T09:00:00+01:00", "2027-01-01T00:00:00+01:00"]},
            "2026-11-22 00:00",
            "2026-11-24 00:00",
            ["2026-11-23 08:00"],
        ),
        (
            {**HOURLY, "endDate": "2026-11-23T10:30:00+01:00"},
            "2026-11-23 07:30",
            "2026-11-23 12:00",
            ["2026-11-23 08:00", "2026-11-23 09:00"],
        ),
        (
            {**HOURLY, "startDate": "2026-11-23T12:00:00+01:00"},
            "2026-11-23 08:30",
            "2026-11-23 12:00",
            ["2026-11-23 11:00", "2026-11-23 12:00"],
        ),
    ],
)
def test_every_kind_of_entry_knows_its_time_zone(entry: dict[str, Any], last: str, now: str, wanted: list[str]) -> None:
    found = due(flow({"timeZone": "Europe/Berlin", "catchUp": "All", **entry}, last=last), at(now))
    assert slots(found) == wanted


def test_one_that_cannot_be_read_is_told_and_the_others_go_on() -> None:
    seen = flow({"cron": "61 * * * *"}, HOURLY, {**HOURLY, "timeZone": "Mars/Olympus"}, last="2026-11-23 10:00")
    found = due(seen, at("2026-11-23 11:00"))
    assert [run["metadata"]["labels"]["headwater.dev/schedule"] for run in found.runs] == ["s1"]
    first, second = found.problems
    assert '"s0"' in first
    assert "61" in first
    assert '"s2"' in second
    assert "Mars/Olympus" in second


def test_a_flow_without_schedules_asks_for_nothing() -> None:
    found = due(flow(), at("2026-11-23 11:00"))
    assert found == type(found)()
    assert found.again_seconds is None


def test_dates_that_are_over_ask_for_no_more_runs() -> None:
    found = due(flow({"dates": ["2026-01-01T00:00:00Z"]}, last="2026-11-23 10:00"), at("2026-11-23 11:00"))
    assert not found.runs
    assert found.next_run is None


MISSED = {
    "on time": (HOURLY, "2026-11-23 10:00", None),
    "one": (HOURLY, "2026-11-23 09:00", "a time was missed and left out (catchUp: Skip)"),
    "several": (HOURLY, "2026-11-23 07:00", "3 times were missed and left out (catchUp: Skip)"),
    "very many": ({"cron": "* * * * *"}, "2026-11-23 07:00", "many times were missed and left out (catchUp: Skip)"),
    "the latest is made up for": (
        {**HOURLY, "catchUp": "Latest"},
        "2026-11-23 08:00",
        "2 times were missed and left out (catchUp: Latest)",
    ),
    "all are made up for": ({**HOURLY, "catchUp": "All"}, "2026-11-23 07:00", None),
    "suspended": ({**HOURLY, "suspend": True}, "2026-11-23 07:00", None),
}


@pytest.mark.parametrize(("entry", "last", "words"), MISSED.values(), ids=MISSED)
def test_what_is_left_out_is_told(entry: dict[str, Any], last: str, words: str | None) -> None:
    found = due(flow(entry, last=last), at("2026-11-23 11:00:05"))
    assert [told.partition("; ")[0] for told in found.missed.values()] == (
        [f'schedules "s0": {words}'] if words is not None else []
    )
