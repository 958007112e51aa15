"""Which runs and versions a Flow gives up, as tables."""

from __future__ import annotations

from typing import Any

import pytest

from headwater.resources.conditions import RunState
from headwater.resources.versions import spec_hash, versioned
from headwater_operator.flows.history import is_tracked, judge, old_versions
from headwater_operator.flows.keeping import Ties, give_up
from headwater_operator.flows.plan import Observed
from headwater_operator.kinds import FLOW_RUN, FLOW_VERSION
from headwater_operator.plans import Delete, Patch, Plan
from headwater_operator.runs.children import Parent, started_by


@pytest.fixture
def run(make):
    """`run("a", "Success", 5)`: a run that ended then, in seconds; None while it goes on."""

    def build(name: str, state: str | None = "Success", second: int = 0, **spec: Any) -> dict[str, Any]:
        if state is None:
            return make.run(name, **spec)
        status = {"conditions": make.conditions(RunState(state), "x"), "finishedAt": f"2026-11-23T12:00:{second:02d}Z"}
        return make.run(name, status=status, **spec)

    return build


def gone(runs: list[dict[str, Any]], history: dict[str, Any], make: Any, seconds: float = 60, **parts: Any) -> str:
    verdict = judge(runs, history, parts.get("needed", frozenset()), make.at(seconds))
    return " ".join(sorted(found["metadata"]["name"] for found in verdict.delete))


def test_the_newest_of_each_kind_stay(run, make) -> None:
    runs = [
        *(run(f"s{i}", "Success", i) for i in range(4)),
        *(run(f"f{i}", ("Failed", "TimedOut", "Crashed")[i], i) for i in range(3)),
        *(run(f"n{i}", ("Skipped", "Cancelled")[i % 2], i) for i in range(4)),
        run("going", None),
    ]
    assert gone(runs, {"succeeded": 2, "failed": 1}, make) == "f0 f1 n0 n1 n2 s0 s1"
    assert gone(runs, {"succeeded": 20, "failed": 20}, make) == ""
    assert gone(runs, {}, make) == ""


def test_the_newest_of_all_always_stays(run, make) -> None:
    runs = [run("old", "Failed", 1), run("new", "Success", 2)]
    assert gone(runs, {"succeeded": 0, "failed": 0}, make) == "old"
    assert gone(runs, {"ttlSecondsAfterFinished": 1}, make, 10**6) == "old"


def test_time_passes(run, make) -> None:
    runs = [run("a", "Success", 0), run("b", "Success", 5), run("c", "Success", 9)]
    history = {"ttlSecondsAfterFinished": 30}
    assert judge(runs, history, frozenset(), make.at(20)).again_seconds == 10
    assert gone(runs, history, make, 30) == "a"
    assert judge(runs, history, frozenset(), make.at(30)).again_seconds == 5
    assert gone(runs, history, make, 35) == "a b"


def test_a_run_with_its_own_time_is_left_to_itself(run, make) -> None:
    runs = [run("own", "Success", 0, ttlSecondsAfterFinished=10**6), run("a", "Success", 1), run("b", "Success", 2)]
    assert gone(runs, {"succeeded": 2}, make) == "", "nor is it counted"
    assert gone(runs, {"succeeded": 1, "ttlSecondsAfterFinished": 1}, make) == "a"


def test_a_newer_run_with_its_own_time_does_not_take_the_place_of_the_newest(run, make) -> None:
    runs = [run("a", "Success", 1), run("b", "Success", 2, ttlSecondsAfterFinished=5)]
    assert gone(runs, {"succeeded": 0, "failed": 0, "ttlSecondsAfterFinished": 1}, make, 10**6) == ""


def test_who_went_straight_to_the_state_of_its_key_pushes_nobody_out(run, make) -> None:
    real = run("real", "Success", 0, idempotencyKey="k")
    real["status"] |= make.begun()
    runs = [real, *(run(f"twin{i}", "Success", i + 1, idempotencyKey="k") for i in range(4))]
    assert gone(runs, {"succeeded": 1, "failed": 2}, make) == "twin0 twin1"


@pytest.mark.parametrize(
    ("metadata", "parent"),
    [
        ({}, None),
        ({"ownerReferences": [{"kind": "Flow", "name": "etl", "uid": "u"}]}, None),
        ({"ownerReferences": [{"kind": "FlowRun", "name": "a", "uid": "u"}]}, Parent("a", "u")),
        ({"labels": {"headwater.dev/parent": "a"}}, Parent("a")),
    ],
)
def test_who_has_started_a_run(make, metadata, parent) -> None:
    found = make.run()
    found["metadata"] |= metadata
    assert started_by(found) == parent


def test_children_stay_while_their_parent_goes_on(run, make) -> None:
    runs = [run("child", "Success", 1), run("other", "Success", 2)]
    assert gone(runs, {"succeeded": 1}, make, needed={"uid-child"}) == ""
    assert gone(runs, {"succeeded": 1}, make) == "child"


@pytest.mark.parametrize(
    ("labels", "annotations", "tracked"),
    [
        ({}, {}, False),
        ({"team": "sea"}, {"note": "x"}, False),
        ({"app.kubernetes.io/managed-by": "kubectl"}, {}, False),
        ({"app.kubernetes.io/managed-by": "Helm"}, {}, True),
        ({"app.kubernetes.io/instance": "etl"}, {}, True),
        ({"argocd.argoproj.io/instance": "etl"}, {}, True),
        ({"kustomize.toolkit.fluxcd.io/name": "apps"}, {}, True),
        ({"helm.toolkit.fluxcd.io/name": "apps"}, {}, True),
        ({}, {"argocd.argoproj.io/tracking-id": "etl:headwater.dev/FlowRun:sales/a"}, True),
        ({}, {"meta.helm.sh/release-name": "etl"}, True),
    ],
)
def test_what_a_tool_would_make_again(run, make, labels, annotations, tracked) -> None:
    old = run("old", "Success", 1)
    old["metadata"] |= {"labels": labels, "annotations": annotations}
    assert is_tracked(old) is tracked
    verdict = judge([old, run("new", "Success", 2)], {"succeeded": 1}, frozenset(), make.now)
    assert (verdict.delete, verdict.compact) == (((), (old,)) if tracked else ((old,), ()))
    old["status"]["compactedAt"] = "2026-11-23T12:00:00Z"
    verdict = judge([old, run("new", "Success", 2)], {"succeeded": 1}, frozenset(), make.now)
    assert verdict.compact == ()


@pytest.mark.parametrize(
    ("limit", "used", "needed", "names"),
    [
        (10, {}, set(), []),
        (2, {}, set(), ["etl-v1", "etl-v2", "etl-v3"]),
        (2, {"spec": 1}, set(), ["etl-v2", "etl-v3"]),
        (2, {"status": "etl-v2"}, set(), ["etl-v1", "etl-v3"]),
        (1, {}, {"etl-v1", None}, ["etl-v2", "etl-v3", "etl-v4"]),
    ],
)
def test_versions_that_are_too_many_and_that_nothing_uses(make, limit, used, needed, names) -> None:
    found = [make.version(number) for number in (4, 2, 5, 1, 3)]
    spec = {"version": used["spec"]} if "spec" in used else {}
    status = {"version": {"name": used["status"]}} if "status" in used else {}
    runs = [make.run(status=status, **spec)]
    assert [version["metadata"]["name"] for version in old_versions(found, limit, runs, needed)] == names


def test_a_scheduled_run_stays_until_its_time_is_noted_as_handled(run, make) -> None:
    """Else it would be made, and executed, once more by who has not seen that it was there."""
    flow = make.flow(schedules=[{"name": "s", "interval": "20s"}], history={"succeeded": 1})
    runs = [run(f"r{i}", "Success", i, scheduledTime=f"2026-11-23T12:00:{20 * i:02d}Z") for i in range(3)]
    for each in runs:
        each["metadata"]["labels"] = {"headwater.dev/schedule": "s"}
    noted = {"schedules": [{"name": "s", "lastSlot": "2026-11-23T12:00:00.000000Z"}]}
    version = make.version(1)
    for status, names in (
        (noted, []),
        ({"schedules": [{**noted["schedules"][0], "lastSlot": "2026-11-23T12:00:40Z"}]}, ["r0", "r1"]),
    ):
        seen = Observed({**flow, "status": status}, [version], runs)
        found = give_up(Plan(), seen, Ties(), make.settings, make.at(60))
        assert [delete.name for delete in found.delete] == names


def test_what_a_flow_gives_up_at_once(make, run) -> None:
    flow = make.flow(history={"succeeded": 1, "ttlSecondsAfterFinished": 100}, versions={"historyLimit": 1})
    tracked = run("tracked", "Success", 1)
    tracked["metadata"]["labels"] = {"argocd.argoproj.io/instance": "x"}
    runs = [run("a", "Success", 2), tracked, run("b", "Failed", 9), run("c", "Success", 30)]
    digest = spec_hash(versioned(flow["spec"], "headwater/runtime:dev"))
    # Version 1 is what the flow is now, after a rollback; 2 is being made ready for a run.
    versions = [make.version(1, hash=digest), *(make.version(number) for number in (2, 3, 4))]
    said = Plan(status={"currentVersion": {"name": "etl-v1", "number": 1}})
    made = give_up(said, Observed(flow, versions, runs), Ties(versions={"etl-v2"}), make.settings, make.at(60))
    assert made == Plan(
        status=said.status,
        delete=(Delete(FLOW_RUN, "a", uid="uid-a"), Delete(FLOW_VERSION, "etl-v3", uid="uid-etl-v3")),
        patches=(Patch(FLOW_RUN, tracked, {"compactedAt": "2026-11-23T12:01:00.000000Z"}),),
        again_seconds=49,
    )
    many = [run(f"r{i}", "Success", i % 60) for i in range(250)]
    made = give_up(said, Observed(flow, versions, many), Ties(), make.settings, make.at(60))
    assert sum(gone.kind is FLOW_RUN for gone in made.delete) == 100
    assert made.again_seconds == 0.1, "the others are next"
    making = Plan(create=({"kind": "FlowVersion"},))
    assert give_up(making, Observed(flow, versions, runs), Ties(), make.settings, make.at(60)) == making
