"""What the operator decides about a Flow and its FlowVersions, as values."""

from __future__ import annotations

from typing import Any

import pytest

from headwater.resources.versions import spec_hash, versioned
from headwater_operator.flows import plan as flows
from headwater_operator.kinds import POD
from headwater_operator.plans import Delete, Plan
from headwater_operator.versions import plan as versions


def hash_of(flow: dict[str, Any]) -> str:
    return spec_hash(versioned(flow["spec"], "headwater/runtime:dev"))


def decide_flow(make, flow, found, runs=()) -> Plan:
    return flows.plan(flows.Observed(flow, list(found), list(runs)), make.settings, make.now)


def test_a_new_flow_gets_version_1_with_all_that_decides_what_runs(make) -> None:
    flow = make.flow(parameters={"airport": "ZRH"}, execution={"workers": 2})
    (made,) = decide_flow(make, flow, []).create
    assert made["metadata"]["name"] == "etl-v1"
    assert made["metadata"]["labels"]["headwater.dev/spec-hash"] == hash_of(flow)
    assert made["metadata"]["ownerReferences"][0]["uid"] == "uid-etl"
    assert made["spec"] == {
        "flow": "etl",
        "number": 1,
        "image": "acme/etl:1",
        "entrypoint": "flow.py:flow",
        "parameters": {"airport": "ZRH"},
        "execution": {"workers": 2},
    }


def test_an_edit_gets_the_next_number_and_a_rollback_the_old_version(make, condition) -> None:
    old, new = make.flow(), make.flow(image="acme/etl:2")
    v1, v2 = make.version(1, hash=hash_of(old)), make.version(2, hash=hash_of(new))
    assert decide_flow(make, new, [v1]).create[0]["metadata"]["name"] == "etl-v2"
    assert decide_flow(make, new, [v1, v2]).status["currentVersion"] == {"name": "etl-v2", "number": 2}
    rollback = decide_flow(make, old, [v1, v2])
    assert rollback.create == ()
    assert rollback.status["currentVersion"] == {"name": "etl-v1", "number": 1}
    assert condition(rollback.status, "Ready") == ("True", "VersionReady", "etl-v1 is current")


def test_nothing_changed_makes_no_version(make) -> None:
    flow = make.flow(parameters={"b": 1, "a": 2})
    same = make.flow(parameters={"a": 2, "b": 1})
    assert decide_flow(make, same, [make.version(1, hash=hash_of(flow))]).create == ()


def test_a_broken_version_leaves_the_last_good_one_current(make, condition) -> None:
    old, new = make.flow(), make.flow(image="acme/etl:2")
    new["status"] = {"currentVersion": {"name": "etl-v1", "number": 1}}
    broken = make.version(2, ready=False, hash=hash_of(new))
    text = "the flow cannot be imported: NameError: x"
    broken["status"]["conditions"] = [
        {"type": "Ready", "status": "False", "reason": "InspectionFailed", "message": text},
        {"type": "Stalled", "status": "True", "reason": "InspectionFailed", "message": text},
    ]
    made = decide_flow(make, new, [make.version(1, hash=hash_of(old)), broken])
    assert made.status["currentVersion"]["number"] == 1
    assert condition(made.status, "Stalled") == (
        "True",
        "InspectionFailed",
        f"etl-v2 cannot be used; etl-v1 stays current: {text}",
    )


def test_a_flow_counts_its_runs_and_shows_the_last(make) -> None:
    from headwater.resources.conditions import RunState

    flow = make.flow()
    done = {"conditions": make.conditions(RunState.FAILED, "no"), "finishedAt": "2026-11-23T12:00:09Z"}
    earlier = {"conditions": make.conditions(RunState.SUCCESS, "ok"), "finishedAt": "2026-11-23T11:00:09Z"}
    runs = [make.run("a", status=done), make.run("b", status=earlier), make.run("c")]
    status = decide_flow(make, flow, [make.version(1, hash=hash_of(flow))], runs).status
    assert status["runs"] == {"active": 1, "queued": 0}
    assert status["lastRun"] == {"name": "a", "state": "Failed", "finishedAt": "2026-11-23T12:00:09Z"}


# Versions


def decide_version(make, version, pod=None, **more) -> Plan:
    seen = versions.Observed(version, pod, **{"account": True, **more})
    return versions.plan(seen, make.settings, make.now)


def test_a_version_is_inspected_by_a_pod_of_its_own_image(make) -> None:
    version = make.version(ready=False, source={"files": {"flow.py": "x = 1"}})
    source, pod = decide_version(make, version).create
    assert source["data"] == {"flow.py": "x = 1"}
    assert pod["metadata"]["name"] == "etl-v1-inspect"
    assert pod["spec"]["containers"][0]["image"] == "acme/etl:1"
    account, binding = decide_version(make, version, account=False).create
    assert account["kind"] == "ServiceAccount"
    assert binding["roleRef"]["name"] == "headwater-flow-runs"
    assert [(s["name"], s["namespace"]) for s in binding["subjects"]] == [
        (account["metadata"]["name"], account["metadata"]["namespace"])
    ]


DIGEST = "acme/etl@sha256:abc"


@pytest.mark.parametrize(
    ("phase", "container", "status", "expected"),
    [
        (
            "Pending",
            {"state": {"waiting": {"reason": "ContainerCreating"}}},
            {},
            ("Ready", "Unknown", "Inspecting", "looking at the flow in acme/etl:1"),
        ),
        (
            "Pending",
            {"state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}},
            {},
            ("Stalled", "True", "ImagePullBackOff", 'image "acme/etl:1" cannot be pulled: not found'),
        ),
        (
            "Failed",
            {"state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}},
            {},
            (
                "Stalled",
                "True",
                "InspectionFailed",
                "the inspection pod etl-v1-inspect failed: OOMKilled with exit code 137",
            ),
        ),
        (
            "Running",
            {},
            {"error": {"message": "NameError: x", "traceback": "File flow.py"}},
            ("Stalled", "True", "InspectionFailed", "the flow cannot be imported: NameError: x\nFile flow.py"),
        ),
        (
            "Succeeded",
            {"imageID": DIGEST},
            {"graph": {"counts": {"tasks": 3, "edges": 2}}},
            ("Ready", "True", "Inspected", f"3 tasks, image {DIGEST}"),
        ),
        (
            "Succeeded",
            {"imageID": "sha256:abc"},
            {"graph": {"counts": {"tasks": 1, "edges": 0}}},
            ("Ready", "True", "Inspected", "1 task, image acme/etl:1"),
        ),
    ],
)
def test_what_an_inspection_says(make, condition, phase, container, status, expected) -> None:
    version = make.version(ready=False)
    version["status"].update(status)
    made = decide_version(make, version, make.pod("etl-v1-inspect", "inspection", phase, **container))
    assert (expected[0], *condition(made.status, expected[0])) == expected
    assert made.status["attempt"] == {"podName": "etl-v1-inspect", "podUID": "uid-etl-v1-inspect"}
    assert made.status.get("image") == (DIGEST if container.get("imageID") == DIGEST else None)


def test_an_inspection_that_ends_without_a_word_is_told(make, condition) -> None:
    """Its module called os._exit(0)."""
    ended = {"terminated": {"exitCode": 0, "finishedAt": "2026-11-23T11:59:00Z"}}
    pod = make.pod("etl-v1-inspect", "inspection", "Succeeded", state=ended)
    made = decide_version(make, make.version(ready=False), pod)
    assert condition(made.status, "Stalled")[1] == "InspectionFailed"
    assert "ended without a word" in condition(made.status, "Stalled")[2]


def test_an_inspection_that_was_stopped_is_made_again(make, condition) -> None:
    pod = make.pod("etl-v1-inspect", "inspection", "Failed")
    pod["status"] |= {
        "reason": "DeadlineExceeded",
        "message": "Pod was active on the node longer than the specified deadline",
    }
    version = make.version(ready=False)
    for seconds, told in ((5, "Reconciling"), (120, "Stalled")):
        seen = versions.Observed(version, pod, account=True)
        made = versions.plan(seen, make.settings, make.at(seconds))
        assert condition(made.status, told)[:2] == ("True", "InspectionStopped")
        assert condition(made.status, "Ready")[0] == "False"
        assert made.delete == (Delete(POD, "etl-v1-inspect"),)


def test_an_import_that_never_ends_is_the_flows_fault(make, condition) -> None:
    begun = {"terminated": {"exitCode": 137, "reason": "Error", "startedAt": "2026-11-23T11:58:00Z"}}
    pod = make.pod("etl-v1-inspect", "inspection", "Failed", state=begun)
    pod["status"] |= {"reason": "DeadlineExceeded", "message": "Pod was active on the node longer than the deadline"}
    made = decide_version(make, make.version(ready=False), pod)
    assert condition(made.status, "Stalled")[1] == "InspectionFailed"
    assert "importing the flow took longer than startDeadlineSeconds" in condition(made.status, "Stalled")[2]
    assert made.delete == ()


def test_a_deleted_versions_number_is_not_used_again(make) -> None:
    flow = make.flow(image="acme/etl:9")
    flow["status"] = {"currentVersion": {"name": "etl-v4", "number": 4}}
    runs = [make.run(status={"version": {"name": "etl-v5", "number": 5}})]
    assert decide_flow(make, flow, [make.version(3)], runs).create[0]["metadata"]["name"] == "etl-v6"


def test_the_number_of_a_broken_version_that_somebody_has_deleted_is_not_used_again(make) -> None:
    old, new = make.flow(image="acme/etl:1"), make.flow(image="acme/etl:3")
    good, broken = make.version(1, hash=hash_of(old)), make.version(2, ready=False)
    told = decide_flow(make, old, [good, broken]).status
    assert told["lastVersionNumber"] == 2
    (version,) = decide_flow(make, {**new, "status": told}, [good]).create
    assert version["metadata"]["name"] == "etl-v3"


def test_versions_that_an_earlier_flow_has_left_behind_keep_their_names(make) -> None:
    flow = make.flow()
    seen = flows.Observed(flow, [], [], ownerless=(make.version(1), make.version(2)))
    (version,) = flows.plan(seen, make.settings, make.now).create
    assert version["metadata"]["name"] == "etl-v3"


def test_a_current_version_that_is_gone_is_not_told_as_current(make) -> None:
    flow = make.flow()
    told = {"currentVersion": {"name": "etl-v1", "number": 1}, "lastVersionNumber": 2}
    broken = make.version(2, ready=False, hash=hash_of(flow))
    status = decide_flow(make, {**flow, "status": told}, [broken]).status
    assert status["currentVersion"] is None


def test_a_good_inspection_waits_for_its_last_write(make) -> None:
    version = make.version(ready=False)
    assert decide_version(make, version, make.pod("p", "inspection", "Succeeded")) == Plan(again_seconds=1.0)


def test_the_pod_of_a_good_inspection_goes_that_of_a_failed_one_stays(make) -> None:
    pod = make.pod("etl-v1-inspect", "inspection", "Succeeded")
    assert decide_version(make, make.version(), pod) == Plan(delete=(Delete(POD, "etl-v1-inspect"),))
    broken = make.version()
    broken["status"]["conditions"] = [
        {"type": "Ready", "status": "False", "reason": "InspectionFailed", "message": "x"}
    ]
    assert decide_version(make, broken, pod) == Plan()
    assert decide_version(make, broken) == Plan(), "and it is not inspected again"


def test_a_changed_wish_to_look_the_image_up_makes_a_version_that_asks_the_registry(make) -> None:
    flow = make.flow()
    v1 = make.version(1, hash=hash_of(flow))
    flow["metadata"]["annotations"] = {"headwater.dev/resolve-image": "monday"}
    (made,) = decide_flow(make, flow, [v1]).create
    assert (made["metadata"]["name"], made["spec"]["image"]) == ("etl-v2", "acme/etl:1")
    assert made["spec"]["resolveImage"] == "monday"
    for version, policy in ((made, "Always"), (make.version(1, ready=False), "IfNotPresent")):
        version["metadata"].update(namespace="sales", uid="uid-v")
        (pod,) = versions.plan(versions.Observed(version, None, True), make.settings, make.now).create
        assert pod["spec"]["containers"][0]["imagePullPolicy"] == policy
    v2 = make.version(2, hash=made["metadata"]["labels"]["headwater.dev/spec-hash"])
    same = decide_flow(make, flow, [v1, v2])
    assert (same.create, same.status["resolveImage"]) == ((), "monday")
    flow["metadata"]["annotations"] = {}
    flow["status"] = same.status
    back = decide_flow(make, flow, [v1, v2])
    assert (back.create, back.status["currentVersion"]["number"], back.status["resolveImage"]) == ((), 1, None)


@pytest.mark.parametrize("told", [None, False, True])
def test_a_version_says_whether_it_is_current(make, told: bool | None) -> None:
    version = make.version(1)
    version["metadata"]["ownerReferences"] = [{"uid": "uid-etl"}]
    if told is not None:
        version["status"]["current"] = told
    flow = make.flow()
    flow["status"] = {"currentVersion": {"name": "etl-v1", "number": 1}}
    for owner, current in ((flow, True), (make.flow(), False), (None, False)):
        assert versions.is_current(version, owner) is current
        plan = versions.plan(versions.Observed(version, None, True, current=current), make.settings, make.now)
        assert plan.status == (None if bool(told) is current else {"current": current})
    flow["metadata"]["uid"] = "another flow of this name"
    assert not versions.is_current(version, flow)


PARAMETERS = {
    "missing": ({}, "spec.parameters: day must be given; the flow takes airport, day, radius"),
    "unknown": ({"day": 1, "dya": 2}, "spec.parameters.dya: there is no such parameter; the flow takes"),
    "good": ({"day": 1}, None),
}


@pytest.mark.parametrize("case", PARAMETERS)
def test_a_schedule_whose_runs_would_be_refused_is_told_and_makes_none(make, condition, case: str) -> None:
    parameters, words = PARAMETERS[case]
    other = {"name": "other", "interval": "1m", "parameters": {"day": "x"}}
    flow = make.flow(schedules=[{"name": "nightly", "interval": "1m", "parameters": parameters}, other])
    handled = {"lastSlot": "2026-11-23T11:58:30Z"}
    flow["status"] = {"schedules": [{"name": "nightly", **handled}, {"name": "other", **handled}]}
    version = make.version(1, hash=hash_of(flow))
    schema = version["status"]["parametersSchema"]
    schema["properties"]["day"] = {}
    schema["required"] = ["day"]
    made = [run["metadata"]["labels"]["headwater.dev/schedule"] for run in decide_flow(make, flow, [version]).create]
    assert "other" in made
    assert ("nightly" in made) == (words is None)
    if words is not None:
        flow["spec"]["schedules"][1]["suspend"] = True
        told = condition(decide_flow(make, flow, [version]).status, "Stalled")
        assert told[1] == "InvalidSchedule"
        assert f'schedules "nightly": its runs would be refused, and none is made ({words}' in told[2]
    # Nobody knows the parameters of a version that is not inspected yet: its runs are made, and wait.
    assert decide_flow(make, flow, [make.version(1, ready=False, hash=hash_of(flow))]).create
