"""How a line is read from what the operator has seen, and who is looked at when something changes."""

from __future__ import annotations

from typing import Any

import pytest

from headwater.resources.conditions import RunState
from headwater.resources.versions import spec_hash, versioned
from headwater_operator.cache import Cache
from headwater_operator.kinds import CONFIG_MAP, FLOW, FLOW_RUN, FLOW_VERSION, POD
from headwater_operator.line import LineKeeper, Promise, front, to_wake, to_wake_by_pod, waiting_for_limits
from headwater_operator.queue import WorkKey
from headwater_operator.runs.queue import Line, place_of, replaced_by, turn


class Scene:
    """A namespace with the flow `etl`, its version and runs."""

    def __init__(self, make: Any) -> None:
        self.make = make
        self.cache = Cache()
        self.keeper = LineKeeper(self.cache, make.settings)

    def flow(self, **concurrency: Any) -> dict[str, Any]:
        flow = self.make.flow(concurrency=concurrency) if concurrency else self.make.flow()
        digest = spec_hash(versioned(flow["spec"], self.make.settings.runtime_image))
        self.cache.upsert(FLOW, flow)
        self.cache.upsert(FLOW_VERSION, self.make.version(hash=digest))
        return flow

    def run(self, name: str, second: int = 0, status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
        queued = {"conditions": self.make.conditions(RunState.QUEUED, "it is next")}
        run = self.make.run(name, status=queued if status is None else status, **spec)
        run["metadata"]["creationTimestamp"] = f"2026-11-23T12:00:{second:02d}Z"
        self.cache.upsert(FLOW_RUN, run)
        return run

    def may_begin(self, *runs: dict[str, Any]) -> list[str]:
        found = []
        for run in runs:
            line = self.keeper.line(self.cache.get(FLOW, "sales", run["spec"]["flow"]))
            answer = turn(place_of(run), line)
            found.append(getattr(answer, "message", "go").partition(";")[0])
        return found

    def finished(self) -> dict[str, Any]:
        return {"conditions": self.make.conditions(RunState.SUCCESS, "ok"), "finishedAt": "2026-11-23T12:00:09Z"}


@pytest.fixture
def scene(make) -> Scene:
    return Scene(make)


FULL = '1 of 1 runs of Flow "etl" is active'


def names_of(line: Line) -> list[str]:
    return [place.name for place in line.places]


def names(runs: list[dict[str, Any]]) -> list[str]:
    return [run["metadata"]["name"] for run in runs]


def test_without_limits_there_is_no_line(scene) -> None:
    assert scene.keeper.line(scene.flow()) is None


def test_a_line_is_read_again_when_something_has_changed(scene) -> None:
    flow = scene.flow(limit=1)
    line = scene.keeper.line(flow)
    assert scene.keeper.line(flow) is line
    run = scene.run("a")
    assert names_of(scene.keeper.line(flow)) == ["a"]
    scene.cache.remove(FLOW_RUN, run)
    assert names_of(scene.keeper.line(flow)) == []


def test_a_run_that_was_let_begin_keeps_its_slot_before_its_pods_are_seen(scene) -> None:
    scene.flow(limit=1)
    low, high = scene.run("low"), scene.run("high", 5, priority=9)
    assert scene.may_begin(low, high) == ['1 of 1 runs of Flow "etl" is active', "go"]
    key = WorkKey(FLOW_RUN.name, "sales", "low")
    scene.keeper.promise(key, Promise("uid-low", "etl", "etl-v1"))
    assert scene.may_begin(low, high) == ["go", FULL]
    assert scene.keeper.promised_versions("sales") == {"etl-v1"}
    scene.keeper.release(key)
    assert scene.may_begin(high) == ["go"]


def test_who_is_under_way(scene) -> None:
    scene.flow(limit=1)
    waits = scene.run("waits", 9)
    begun = scene.run("begun", status=scene.make.begun())
    assert scene.may_begin(waits) == [FULL]
    begun = scene.run("begun", status={**scene.make.begun(), **scene.finished()})
    assert scene.may_begin(waits) == ["go"]
    runner = scene.make.runner()
    runner["metadata"]["ownerReferences"] = [{"uid": begun["metadata"]["uid"]}]
    scene.cache.upsert(POD, runner)
    assert scene.may_begin(waits) == ["go"], "the flow has ended, though its pod has not yet"
    scene.cache.remove(FLOW_RUN, begun)
    assert scene.may_begin(waits) == [FULL], "a run that was deleted counts until its runner has stopped"
    assert names(to_wake_by_pod(scene.cache, runner, deleted=True)) == ["waits"]
    scene.cache.remove(POD, runner)
    assert scene.may_begin(waits) == ["go"]


@pytest.mark.parametrize(
    "spec", [{"suspend": True}, {"version": 7}, {"idempotencyKey": "k"}], ids=["suspended", "no version", "a rival"]
)
def test_who_cannot_begin_keeps_nobody_waiting(scene, spec) -> None:
    scene.flow(limit=2)
    scene.run("rival", status=scene.make.begun(), idempotencyKey="k")
    scene.run("first", 1, **spec)
    assert scene.may_begin(scene.run("second", 2)) == ["go"]


def test_with_skip_nobody_gives_way_to_a_run_that_is_wrong(scene) -> None:
    scene.flow(limit=1, policy="Skip")
    scene.run("wrong", 1, parameters={"radios": 1})
    second = scene.run("second", 2)
    assert scene.may_begin(second) == ["go"]
    scene.run("right", 1)
    assert scene.may_begin(second)[0].startswith("skipped: ")


def test_flows_that_share_limits_are_in_one_line(scene) -> None:
    scene.flow(limits=[{"name": "gpu"}])
    other = scene.make.flow(concurrency={"limits": [{"name": "gpu"}]})
    other["metadata"] |= {"name": "ml", "uid": "uid-ml"}
    scene.cache.upsert(FLOW, other)
    taken = scene.run("taken", status=scene.make.begun(), flow="ml")
    waits = scene.run("waits", 1)
    limits = {"metadata": scene.make.metadata("limits", labels={"headwater.dev/role": "limits"}), "data": {"gpu": "1"}}
    scene.cache.upsert(CONFIG_MAP, limits)
    assert scene.may_begin(waits) == ['1 of 1 slots of limit "gpu" are taken']
    assert names(to_wake(scene.cache, taken, deleted=True)) == ["waits"]
    assert names(waiting_for_limits(scene.cache, "sales")) == ["waits"]
    scene.cache.remove(CONFIG_MAP, limits)
    assert scene.may_begin(waits)[0].startswith('there is no limit "gpu"')
    scene.cache.upsert(CONFIG_MAP, limits)
    assert scene.may_begin(waits) == ['1 of 1 slots of limit "gpu" are taken'], "its label was put back"


def test_the_first_in_line_are_looked_at_when_a_slot_is_free(scene) -> None:
    scene.flow(limit=1)
    for i in range(30):
        scene.run(f"r{i:02d}", i)
        scene.run(f"held{i:02d}", 0, suspend=True)
    scene.run("urgent", 40, priority=1)
    ended = scene.run("ended", status={**scene.make.begun(), **scene.finished()})
    woken = names(to_wake(scene.cache, ended, deleted=False))
    assert woken == ["urgent", *(f"r{i:02d}" for i in range(6))]
    assert names(front(scene.cache, "sales", "etl")) == woken
    assert to_wake(scene.cache, scene.run("new", 50), deleted=False) == []
    beginning = scene.run("new", 50, status=scene.make.begun())
    assert names(to_wake(scene.cache, beginning, deleted=False)) == woken, "there may be room for more than one"


def test_who_waits_for_its_twin_does_not_hide_who_could_begin(scene) -> None:
    scene.flow(limit=2)
    scene.run("begun", status=scene.make.begun(), idempotencyKey="k")
    for i in range(8):
        scene.run(f"twin{i}", i + 1, idempotencyKey="k")
    scene.run("next", 30)
    assert names(front(scene.cache, "sales", "etl")) == ["next"]


def test_slots_that_a_flow_gives_up_are_free_for_others(scene) -> None:
    scene.flow(limits=[{"name": "gpu"}])
    other = scene.make.flow(concurrency={"limits": [{"name": "gpu"}]})
    other["metadata"] |= {"name": "ml", "uid": "uid-ml"}
    scene.cache.upsert(FLOW, other)
    scene.run("waits", flow="ml")
    now = scene.flow()
    assert names(front(scene.cache, "sales", "etl", changed=True)) == ["waits"]
    scene.cache.remove(FLOW, now)
    assert names(front(scene.cache, "sales", "etl", changed=True)) == ["waits"]


def test_what_is_older_is_looked_at_where_it_may_be_replaced(scene) -> None:
    scene.flow(limit=1, policy="Replace")
    scene.run("old", status=scene.make.begun())
    assert names(to_wake(scene.cache, scene.run("new", 5), deleted=False)) == ["old"]


@pytest.mark.parametrize(
    ("newer", "by"),
    [({}, "new"), ({"idempotencyKey": "k"}, None), ({"suspend": True}, None), ({"version": 7}, None)],
    ids=["could begin", "of the same key", "suspended", "no version"],
)
def test_a_run_is_replaced_by_one_that_could_begin(scene, newer, by) -> None:
    flow = scene.flow(limit=1, policy="Replace")
    old = scene.run("old", status=scene.make.begun(), idempotencyKey="k")
    scene.run("new", 5, **newer)
    assert replaced_by(place_of(old), scene.keeper.line(flow)) == by


def test_the_end_of_a_run_wakes_its_twins(scene) -> None:
    scene.flow()
    scene.run("twin", 1, idempotencyKey="k")
    ended = scene.run("ended", status=scene.finished(), idempotencyKey="k")
    assert names(to_wake(scene.cache, ended, deleted=False)) == ["twin"]
