"""Who gets how many slots of a limited tag, and that no more are used whatever comes late or is lost."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater_operator.runs.concurrency import LARGEST, BadLimit
from headwater_operator.slots.allot import Seat, allot
from headwater_operator.slots.seats import grant, seat_of


def seat(name: str, wanted: int = 0, granted: int = 0, held: int | None = None, **more: Any) -> Seat:
    priority, heard = more.pop("priority", 0), more.pop("heard", 1)
    return Seat(
        uid=name,
        order=(-priority, "2026", name),
        wanted={"db": wanted},
        held={"db": granted if held is None else held},
        granted={"db": granted},
        heard=heard,
        serial=1,
        **more,
    )


# limit, seats, what each is granted then
CASES: dict[str, tuple[Any, list[Seat], dict[str, int]]] = {
    "one that wants less than there is": (4, [seat("a", 3)], {"a": 3}),
    "one that wants more": (4, [seat("a", 9)], {"a": 4}),
    "equals share": (4, [seat("a", 9), seat("b", 9)], {"a": 2, "b": 2}),
    "the oldest gets what is left over": (5, [seat("a", 9), seat("b", 9)], {"a": 3, "b": 2}),
    "what one does not want others get": (6, [seat("a", 1), seat("b", 9), seat("c", 9)], {"a": 1, "b": 3, "c": 2}),
    "fewer slots than runs": (1, [seat("a", 9), seat("b", 9)], {"a": 1, "b": 0}),
    "a higher priority goes before": (2, [seat("a", 9), seat("b", 9, priority=1)], {"a": 0, "b": 2}),
    "what is held is not given twice": (4, [seat("a", 9, 4), seat("b", 9)], {"a": 2, "b": 0}),
    "what was given back is": (4, [seat("a", 9, 2), seat("b", 9)], {"a": 2, "b": 2}),
    "a smaller grant lets run on what runs": (4, [seat("a", 9, 2, held=4), seat("b", 9)], {"a": 2, "b": 0}),
    "only what was heard is made smaller": (4, [seat("a", 9, 4, heard=0), seat("b", 9)], {"a": 4, "b": 0}),
    "nobody else wants it, so it stays": (4, [seat("a", 0, 4), seat("b", 0)], {"a": 4, "b": 0}),
    "who wants nothing gives way": (4, [seat("a", 0, 4), seat("b", 3)], {"a": 0, "b": 0}),
    "the limit has become smaller": (1, [seat("a", 3, 3)], {"a": 1}),
    "the limit has become larger": (9, [seat("a", 5, 3)], {"a": 5}),
    "a grant that may have been written counts": (
        4,
        [seat("a", 4, promised={"db": 3}), seat("b", 4)],
        {"a": 2, "b": 1},
    ),
    "what a run leaves behind counts": (4, [seat("a", 4, 3, leaves=True), seat("b", 4)], {"b": 1}),
    "a limit that is none": (BadLimit("no number"), [seat("a", 4), seat("b", 4, 1)], {"a": 0, "b": 0}),
    "nothing may run": (0, [seat("a", 4)], {"a": 0}),
    "there is no limit any more": (None, [seat("a", 4, 1)], {"a": LARGEST}),
}


@pytest.mark.parametrize("case", CASES)
def test_who_gets_what(case: str) -> None:
    limit, seats, wanted = CASES[case]
    limits = {} if limit is None else {"db": limit}
    assert {uid: slots["db"] for uid, slots in allot(limits, seats).items()} == wanted


def test_two_that_need_both_of_two_tags_do_not_block_each_other() -> None:
    """The older one gets its first slot of each, whatever the other has."""
    a = Seat("a", (0, "1", "a"), {"x": 1, "y": 1}, {"x": 1, "y": 0}, 1, {"x": 1, "y": 0}, 1)
    b = Seat("b", (0, "2", "b"), {"x": 1, "y": 1}, {"x": 0, "y": 1}, 1, {"x": 0, "y": 1}, 1)
    found = allot({"x": 1, "y": 1}, [a, b])
    assert found == {"a": {"x": 1, "y": 0}, "b": {"x": 0, "y": 0}}
    b = Seat("b", (0, "2", "b"), {"x": 1, "y": 1}, {"x": 0, "y": 0}, 2, found["b"], 2)
    assert allot({"x": 1, "y": 1}, [a, b])["a"] == {"x": 1, "y": 1}


class Runner:
    """A run's side: it hears of grants in their order, late; says what it holds, later; begins and ends tasks."""

    def __init__(self, tasks: int) -> None:
        self.waiting, self.used, self.ceiling, self.heard = tasks, 0, 0, 0

    def hear(self, status: dict[str, Any]) -> None:
        found = status.get("taskLimits") or {}
        if int(found.get("serial", 0)) > self.heard:
            self.heard = found["serial"]
            self.ceiling = {tag["name"]: tag["granted"] for tag in found["tags"]}["db"]

    def say(self) -> dict[str, Any]:
        tag = {"name": "db", "wanted": self.used + self.waiting, "held": max(self.ceiling, self.used)}
        return {"serial": self.heard, "tags": [tag]}

    def begin(self) -> None:
        if self.waiting and self.used < self.ceiling:
            self.waiting, self.used = self.waiting - 1, self.used + 1

    def end(self) -> None:
        self.used = max(0, self.used - 1)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 5), st.lists(st.integers(0, 12), min_size=1, max_size=4), st.integers(0, 2**32))
def test_no_more_run_than_there_are_slots_and_all_do_in_the_end(limit: int, tasks: list[int], seed: int) -> None:
    dice = random.Random(seed)
    runners = [Runner(count) for count in tasks]
    statuses: list[dict[str, Any]] = [{} for _ in tasks]
    seen: list[list[dict[str, Any]]] = [[{}] for _ in tasks]  # what each runner has yet to hear

    def decide() -> None:
        runs = [
            {
                "metadata": {"uid": str(i), "name": f"r{i}", "creationTimestamp": f"2026-11-23T12:00:0{i}Z"},
                "spec": {"flow": "etl"},
                "status": status,
            }
            for i, status in enumerate(statuses)
        ]
        limits = {"db": limit}
        found = allot(limits, [seat_of(run) for run in runs])
        for i, run in enumerate(runs):
            change = grant(run, found[str(i)], limits) if found[str(i)] else None
            if change is not None:
                statuses[i] = {**statuses[i], **change}
                seen[i].append(statuses[i])

    def step(i: int, what: str) -> None:
        runner = runners[i]
        if what == "hear" and len(seen[i]) > 1:
            # Some changes are never seen, as newer ones have come.
            del seen[i][: dice.randint(1, len(seen[i]) - 1)]
            runner.hear(seen[i][0])
        elif what == "say":
            statuses[i] = {**statuses[i], "taskDemand": runner.say()}
        elif what == "begin":
            runner.begin()
        elif what == "end":
            runner.end()
        elif what == "more":
            runner.waiting += 1
        elif what == "decide":
            decide()

    for _ in range(300):
        step(dice.randrange(len(runners)), dice.choice(("hear", "say", "begin", "begin", "end", "more", "decide")))
        assert sum(runner.used for runner in runners) <= limit
    for _ in range(600):
        for i in range(len(runners)):
            for what in ("end", "say", "decide", "hear", "begin"):
                step(i, what)
                assert sum(runner.used for runner in runners) <= limit
    assert Counter(runner.waiting for runner in runners) == Counter({0: len(runners)})


def test_a_grant_says_what_the_limit_is_and_is_written_once() -> None:
    run: dict[str, Any] = {"metadata": {"uid": "1"}, "status": {}}
    first = grant(run, {"db": 2}, {"db": 4})
    tags = [{"name": "db", "granted": 2, "message": "of 4 in the namespace"}]
    assert first == {"taskLimits": {"serial": 1, "tags": tags}}
    assert grant({**run, "status": first}, {"db": 2}, {"db": 4}) is None
    changed = grant({**run, "status": first}, {"db": 0}, {"db": BadLimit('limit "db" is "x"')})
    assert changed == {
        "taskLimits": {"serial": 2, "tags": [{"name": "db", "granted": 0, "message": 'limit "db" is "x"'}]}
    }
