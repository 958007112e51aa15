"""What may change once an object is there, and how it shows itself meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("alone")]

NOW = "2026-11-22T22:00:00.123456Z"
STATUS = "/status"

FLOW = {"image": "acme/etl:1", "entrypoint": "etl:flow"}
VERSION = {"flow": "etl", "number": 1, "image": "acme/etl:1", "entrypoint": "etl:flow"}


def condition(type: str, status: str, reason: str, message: str = "said so") -> dict[str, str]:
    return {"type": type, "status": status, "reason": reason, "message": message, "lastTransitionTime": NOW}


def conditions(*each: dict[str, str]) -> dict[str, Any]:
    return {"status": {"conditions": list(each)}}


DECISION = {"task": "deploy-1", "mapIndex": 3, "decision": "Approve", "message": "looks good"}

SUCCEEDED, FINISHED = condition("Succeeded", "True", "Success"), condition("Finished", "True", "Success")


@pytest.fixture(scope="module")
def finished_run(create: Callable[..., Any], patch: Callable[..., Any], module_namespace: str) -> dict[str, Any]:
    run: dict[str, Any] = create("FlowRun", "finished", module_namespace, {"flow": "etl"})
    assert patch(run, conditions(SUCCEEDED, FINISHED), STATUS).refusal == ""
    return run


@pytest.mark.parametrize(
    "trick",
    [
        conditions(),
        {"status": {"conditions": None}},
        {"status": None},
        conditions(condition("Succeeded", "False", "Failed"), FINISHED),
        conditions(condition("Succeeded", "Unknown", "Running"), FINISHED),
        conditions(condition("Succeeded", "True", "Lucky"), FINISHED),
        conditions(FINISHED),
        conditions(SUCCEEDED),
        conditions(SUCCEEDED, condition("Finished", "False", "Success")),
        [{"op": "remove", "path": "/status"}],
        [{"op": "remove", "path": "/status/conditions"}],
        [{"op": "remove", "path": "/status/conditions/0"}],
    ],
    ids=str,
)
def test_a_finished_run_keeps_its_result(patch: Callable[..., Any], finished_run: dict[str, Any], trick: Any) -> None:
    refusal = patch(finished_run, trick, STATUS).refusal
    assert "status.conditions" in refusal
    assert "a finished run keeps its result" in refusal


def test_a_finished_run_keeps_its_result_when_replaced(
    ask: Callable[..., Any], path: Callable[..., str], finished_run: dict[str, Any]
) -> None:
    bare = {key: value for key, value in finished_run.items() if key != "status"}
    bare["metadata"] = {key: value for key, value in bare["metadata"].items() if key != "resourceVersion"}
    current = ask("GET", path(finished_run)).body["metadata"]["resourceVersion"]
    bare["metadata"]["resourceVersion"] = current
    assert "a finished run keeps its result" in ask("PUT", path(finished_run, STATUS), bare).refusal


def test_a_finished_run_may_be_told_about_in_other_words(
    patch: Callable[..., Any], finished_run: dict[str, Any]
) -> None:
    body = conditions(condition("Succeeded", "True", "Success", "better words"), FINISHED)
    body["status"]["observedGeneration"] = 1
    assert patch(finished_run, body, STATUS).refusal == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("flow", "other"),
        ("version", 2),
        ("version", None),
        ("parameters", None),
        ("parameters", {"a": {"b": [1, 3]}}),
        ("parameters", {"c": 1}),
    ],
)
def test_what_a_run_runs_cannot_be_changed(
    create: Callable[..., Any], patch: Callable[..., Any], module_namespace: str, field: str, value: Any
) -> None:
    name = f"fixed-{field}-{abs(hash(str(value))) % 10000}"
    spec = {"flow": "etl", "version": 1, "parameters": {"a": {"b": [1, 2]}}}
    run = create("FlowRun", name, module_namespace, spec)
    refusal = patch(run, {"spec": {field: value}}).refusal
    assert f"spec.{field}" in refusal
    assert f"{field} cannot be changed; create another FlowRun" in refusal


def test_a_cancelled_run_is_not_let_go_on(
    create: Callable[..., Any], patch: Callable[..., Any], namespace: str
) -> None:
    run = create("FlowRun", "unwanted", namespace, {"flow": "etl"})
    assert patch(run, {"spec": {"cancel": "Cancel"}}).refusal == ""
    for back in ("", None):
        refusal = patch(run, {"spec": {"cancel": back}}).refusal
        assert "spec.cancel" in refusal
        assert "cannot be let go on" in refusal
    assert patch(run, {"spec": {"cancel": "Terminate"}}).refusal == ""
    assert "Terminate only" in patch(run, {"spec": {"cancel": "Cancel"}}).refusal


@pytest.mark.parametrize(
    "spec",
    [{"priority": 5}, {"suspend": True}, {"ttlSecondsAfterFinished": 0}, {"decisions": [DECISION]}],
    ids=str,
)
def test_when_a_run_begins_and_goes_may_be_changed(
    create: Callable[..., Any], patch: Callable[..., Any], module_namespace: str, spec: dict[str, Any]
) -> None:
    run = create("FlowRun", f"open-{next(iter(spec)).lower()}", module_namespace, {"flow": "etl"})
    assert patch(run, {"spec": spec}).refusal == ""


@pytest.mark.parametrize(("field", "value"), [("version", 1), ("parameters", {"a": 1}), ("idempotencyKey", "k")])
def test_nothing_can_be_added_to_what_a_run_runs(
    create: Callable[..., Any], patch: Callable[..., Any], module_namespace: str, field: str, value: Any
) -> None:
    run = create("FlowRun", f"bare-{field.lower()}", module_namespace, {"flow": "etl"})
    assert f"{field} cannot be changed" in patch(run, {"spec": {field: value}}).refusal


@pytest.mark.parametrize(
    "spec",
    [{"image": "other"}, {"parameters": {"a": 1}}, {"execution": {"workers": 2}}, {"timeoutSeconds": 5}, {"flow": "x"}],
    ids=str,
)
def test_a_version_never_changes(
    create: Callable[..., Any], patch: Callable[..., Any], module_namespace: str, spec: dict[str, Any]
) -> None:
    number = {"image": 11, "parameters": 12, "execution": 13, "timeoutSeconds": 14, "flow": 15}[next(iter(spec))]
    version = create("FlowVersion", f"etl-v{number}", module_namespace, {**VERSION, "number": number})
    refusal = patch(version, {"spec": spec}).refusal
    assert "spec: Invalid value: a FlowVersion never changes; change its Flow" in refusal


def test_the_digest_of_a_version_is_set_once(
    create: Callable[..., Any], patch: Callable[..., Any], module_namespace: str
) -> None:
    version = create("FlowVersion", "etl-v1", module_namespace, VERSION)
    found = {"status": {"image": "acme/etl@sha256:" + "1" * 64}}
    assert patch(version, found, STATUS).refusal == ""
    assert patch(version, found, STATUS).refusal == ""
    for trick in (
        {"status": {"image": "acme/etl@sha256:" + "2" * 64}},
        {"status": {"image": None}},
        {"status": None},
        [{"op": "remove", "path": "/status"}],
    ):
        refusal = patch(version, trick, STATUS).refusal
        assert "status.image: Invalid value: the digest of a version is found once and stays" in refusal, trick


def test_a_flow_may_change(create: Callable[..., Any], patch: Callable[..., Any], module_namespace: str) -> None:
    flow = create("Flow", "etl", module_namespace, FLOW)
    assert patch(flow, {"spec": {"image": "acme/etl:2", "execution": {"workers": 3}}}).refusal == ""


def test_a_status_is_checked_too(create: Callable[..., Any], patch: Callable[..., Any], module_namespace: str) -> None:
    run = create("FlowRun", "checked", module_namespace, {"flow": "etl"})
    for status, field in (
        ({"tasks": [{"name": "a"}]}, "status.tasks[0].state: Required value"),
        ({"tasks": [{"name": "a", "state": "not a word"}]}, "status.tasks[0].state"),
        ({"tasks": [{"name": "a", "state": "Failed", "message": "x" * 1001}]}, "status.tasks[0].message"),
        ({"tasks": [{"name": "a", "state": "Failed", "startedAt": "today"}]}, "status.tasks[0].startedAt"),
        ({"progress": {"total": -1}}, "status.progress.total"),
        ({"conditions": [condition("Ready", "Maybe", "X")]}, "status.conditions[0].status"),
    ):
        assert field in patch(run, {"status": status}, STATUS).refusal


def test_a_new_object_does_not_pass_for_ready(
    kubectl: Callable[..., Any], create: Callable[..., Any], module_namespace: str
) -> None:
    create("FlowRun", "fresh", module_namespace, {"flow": "columns"})
    shown = kubectl("get", "fr", "fresh", "-n", module_namespace).stdout.split("\n")
    assert shown[0].split() == ["NAME", "FLOW", "VERSION", "STATE", "PROGRESS", "STARTED", "FINISHED", "AGE"]
    assert shown[1].split()[:3] == ["fresh", "columns", "Scheduled"]
    waited = kubectl("wait", "fr/fresh", "-n", module_namespace, "--for=condition=Ready", "--timeout=1s", check=False)
    assert "timed out" in waited.stderr


def test_a_run_shows_what_becomes_of_it(
    kubectl: Callable[..., Any], create: Callable[..., Any], patch: Callable[..., Any], module_namespace: str
) -> None:
    run = create("FlowRun", "shown", module_namespace, {"flow": "columns"})
    status = {
        "observedGeneration": 1,
        "version": {"name": "columns-v2", "number": 2, "image": "acme/etl@sha256:" + "1" * 64},
        "attempt": {"number": 1, "podName": "shown-a1", "podUID": "u", "startedAt": NOW},
        "timeline": dict.fromkeys(("createdAt", "admittedAt", "runnerStartedAt", "firstTaskAt", "finishedAt"), NOW),
        "tasks": [{"name": "a", "state": "Success", "startedAt": NOW, "finishedAt": NOW, "runs": 1, "message": "m"}],
        "progress": {"text": "3/5", "total": 5, "success": 2, "failed": 1, "running": 1, "pending": 0, "retrying": 1},
        "report": {"state": "Failed", "message": "m", "finishedAt": NOW},
        "startedAt": NOW,
        "finishedAt": NOW,
        "conditions": [condition("Succeeded", "False", "Failed"), condition("Finished", "True", "Failed")],
    }
    assert patch(run, {"status": status}, STATUS).refusal == ""
    stored = json.loads(kubectl("get", "fr", "shown", "-n", module_namespace, "-o", "json").stdout)
    assert stored["status"] == status
    row = kubectl("get", "fr", "shown", "-n", module_namespace, "--no-headers").stdout.split()
    assert row[:5] == ["shown", "columns", "2", "Failed", "3/5"]
    kubectl("wait", "fr/shown", "-n", module_namespace, "--for=condition=Finished", "--timeout=5s")


def test_a_version_shows_what_was_found(
    kubectl: Callable[..., Any], create: Callable[..., Any], patch: Callable[..., Any], module_namespace: str
) -> None:
    version = create("FlowVersion", "etl-v7", module_namespace, {**VERSION, "number": 7})
    status = {
        "observedGeneration": 1,
        "attempt": {"podName": "etl-v7-inspect", "podUID": "u"},
        "graph": {
            "counts": {"tasks": 2, "edges": 1},
            "tasks": [
                {"name": "a", "slug": "a-1", "upstream": []},
                {"name": "b", "slug": "b-1", "upstream": ["a-1"], "trigger": "all_finished"},
            ],
        },
        "parametersSchema": {"type": "object", "properties": {"n": {"type": "integer", "default": 1}}},
        "runtime": {"python": "3.13.1", "headwater": "0.1.0", "distributed": "2026.8.0"},
        "error": {"message": "m", "traceback": "t"},
        "conditions": [condition("Ready", "True", "Inspected")],
    }
    assert patch(version, {"status": status}, STATUS).refusal == ""
    stored = json.loads(kubectl("get", "fv", "etl-v7", "-n", module_namespace, "-o", "json").stdout)
    assert stored["status"] == status
    row = kubectl("get", "fv", "etl-v7", "-n", module_namespace, "--no-headers").stdout.split()
    assert row[:6] == ["etl-v7", "etl", "7", "True", "Inspected", "2"]


def test_runs_are_found_by_their_flow(
    kubectl: Callable[..., Any], create: Callable[..., Any], module_namespace: str
) -> None:
    create("FlowRun", "mine", module_namespace, {"flow": "selected"})
    found = kubectl("get", "fr", "-n", module_namespace, "--field-selector=spec.flow=selected", "-o", "name").stdout
    assert found.split() == ["flowrun.headwater.dev/mine"]
    assert "flowrun.headwater.dev/mine" in kubectl("get", "headwater", "-n", module_namespace, "-o", "name").stdout


@pytest.mark.parametrize("path", ["flow.spec.execution.worker.podTemplate", "fv.status.graph", "fr.status.conditions"])
def test_kubectl_explains(kubectl: Callable[..., Any], path: str) -> None:
    text = kubectl("explain", path).stdout
    assert "<empty>" not in text
    assert "DESCRIPTION:" in text
