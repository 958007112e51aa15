"""What Helm, Flux and Argo CD make of objects in every state, as they were recorded on a cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gitops.judging import ROOT, SHIPPED, judge
from headwater.cli.control import restarted
from headwater.resources.conditions import RunState

OBJECTS = {
    file.stem: json.loads(file.read_text()) for file in sorted((Path(__file__).parent / "objects").glob("*.json"))
}

# kstatus, Argo CD's health, its actions; those with a "-" are shown, and cannot be chosen now.
TABLE = {
    "Flow-Fresh": ("InProgress", "Progressing", "resume- run suspend"),
    "Flow-Making": ("InProgress", "Progressing", "resume- run suspend"),
    "Flow-Changed": ("InProgress", "Progressing", "resume- run suspend"),
    "Flow-Ready": ("Current", "Healthy", "resume- run suspend"),
    "Flow-Suspended": ("Current", "Suspended", "resume run suspend-"),
    "Flow-Held": ("InProgress", "Progressing", "resume- run suspend"),
    "Flow-Broken": ("Failed", "Degraded", "resume- run suspend"),
    "Flow-Deleting": ("Terminating", "Progressing", ""),
    "FlowVersion-Fresh": ("InProgress", "Progressing", ""),
    "FlowVersion-Making": ("InProgress", "Progressing", ""),
    "FlowVersion-Ready": ("Current", "Healthy", ""),
    "FlowVersion-Held": ("InProgress", "Progressing", ""),
    "FlowVersion-Broken": ("Failed", "Degraded", ""),
    "FlowVersion-Deleting": ("Terminating", "Progressing", ""),
    "FlowRun-Fresh": ("InProgress", "Progressing", "cancel resume- suspend terminate"),
    "FlowRun-Pending": ("InProgress", "Progressing", "cancel resume- suspend terminate"),
    "FlowRun-Queued": ("InProgress", "Progressing", "cancel resume- suspend terminate"),
    "FlowRun-Suspended": ("InProgress", "Suspended", "cancel resume suspend- terminate"),
    "FlowRun-Submitted": ("InProgress", "Progressing", "cancel terminate"),
    "FlowRun-Running": ("InProgress", "Progressing", "cancel terminate"),
    "FlowRun-Paused": ("InProgress", "Suspended", "approve cancel reject terminate"),
    "FlowRun-PausedMapped": ("InProgress", "Suspended", "approve cancel reject terminate"),
    "FlowRun-Changed": ("InProgress", "Progressing", "cancel- terminate"),
    "FlowRun-Cancelling": ("InProgress", "Progressing", "cancel- terminate"),
    "FlowRun-Success": ("Current", "Healthy", ""),
    "FlowRun-Edited": ("Current", "Healthy", ""),
    "FlowRun-Skipped": ("Current", "Healthy", ""),
    "FlowRun-Cancelled": ("Current", "Healthy", "retry-failed"),
    "FlowRun-Failed": ("Failed", "Degraded", "retry-failed"),
    "FlowRun-TimedOut": ("Failed", "Degraded", "retry-failed"),
    "FlowRun-Crashed": ("Failed", "Degraded", "retry-failed"),
    "FlowRun-Deleting": ("Terminating", "Progressing", ""),
}


@pytest.fixture(scope="module")
def verdicts() -> dict[str, dict[str, Any]]:
    return dict(zip(OBJECTS, judge(list(OBJECTS.values())), strict=True))


def test_every_state_is_recorded() -> None:
    assert set(OBJECTS) == set(TABLE)
    # A run that nobody has looked at yet is Scheduled.
    assert {f"FlowRun-{state}" for state in RunState} - {"FlowRun-Scheduled"} <= set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_each_state_is_judged_right(verdicts: dict[str, dict[str, Any]], name: str) -> None:
    found = verdicts[name]
    actions = " ".join(sorted(f"{each}{'-' * action['disabled']}" for each, action in found["actions"].items()))
    assert (found["kstatus"], found["health"], actions) == TABLE[name]
    conditions = {c["type"]: c for c in OBJECTS[name]["status"]["conditions"]}
    if found["health"] == "Degraded":
        assert found["healthMessage"] == found["kstatusMessage"] == conditions["Stalled"]["message"]
    elif name in ("FlowRun-Paused", "FlowRun-PausedMapped", "FlowRun-Queued", "FlowRun-Pending"):
        assert found["healthMessage"] == conditions["Succeeded"]["message"]


@pytest.mark.parametrize("name", TABLE)
def test_conditions_are_of_the_generation_that_was_seen(name: str) -> None:
    """`kubectl wait` goes by that of the condition."""
    status = OBJECTS[name]["status"]
    if status["observedGeneration"]:
        assert {c["observedGeneration"] for c in status["conditions"]} == {status["observedGeneration"]}


def test_an_object_without_a_status_is_not_healthy() -> None:
    bare = [{k: v for k, v in OBJECTS[f"{kind}-Ready"].items() if k != "status"} for kind in ("Flow", "FlowVersion")]
    bare += [{k: v for k, v in OBJECTS["FlowRun-Success"].items() if k != "status"}]
    assert [found["health"] for found in judge(bare)] == ["Progressing"] * 3


def effect(verdicts: dict[str, dict[str, Any]], name: str, action: str) -> dict[str, Any]:
    (found,) = verdicts[name]["actions"][action]["does"]
    return dict(found)


CHANGES = [
    ("Flow-Ready", "suspend", {"suspend": True}),
    ("Flow-Suspended", "resume", {"suspend": False}),
    ("FlowRun-Queued", "suspend", {"suspend": True}),
    ("FlowRun-Suspended", "resume", {"suspend": False}),
    ("FlowRun-Running", "cancel", {"cancel": "Cancel"}),
    ("FlowRun-Cancelling", "terminate", {"cancel": "Terminate"}),
    ("FlowRun-Paused", "approve", {"decisions": [{"task": "deploy", "decision": "Approve"}]}),
    ("FlowRun-Paused", "reject", {"decisions": [{"task": "deploy", "decision": "Reject"}]}),
    ("FlowRun-PausedMapped", "approve", {"decisions": [{"task": "deploy", "decision": "Approve"}]}),
    ("FlowRun-PausedMapped", "reject", {"decisions": [{"task": "deploy", "decision": "Reject"}]}),
]


@pytest.mark.parametrize(("name", "action", "change"), CHANGES)
def test_an_action_changes_that_and_nothing_else(
    verdicts: dict[str, dict[str, Any]], name: str, action: str, change: dict[str, Any]
) -> None:
    found, was = effect(verdicts, name, action), OBJECTS[name]
    assert found["operation"] == "patch"
    assert found["resource"] == {**was, "spec": {**was["spec"], **change}}


def test_a_run_is_made_of_a_flow(verdicts: dict[str, dict[str, Any]]) -> None:
    found, flow = effect(verdicts, "Flow-Ready", "run"), OBJECTS["Flow-Ready"]
    assert (found["operation"], found["resource"]["kind"]) == ("create", "FlowRun")
    assert found["resource"]["spec"] == {"flow": flow["metadata"]["name"]}
    assert found["resource"]["metadata"]["name"].startswith(f"{flow['metadata']['name']}-2")
    assert found["resource"]["metadata"]["ownerReferences"][0]["uid"] == flow["metadata"]["uid"]


def test_a_name_that_would_be_too_long_is_another() -> None:
    flow, run = OBJECTS["Flow-Ready"], OBJECTS["FlowRun-Failed"]
    long = [{**each, "metadata": {**each["metadata"], "name": "x" * 52}} for each in (flow, run)]
    made, again = judge(long)
    assert made["actions"]["run"]["does"][0]["resource"]["metadata"]["name"].startswith("run-2")
    assert again["actions"]["retry-failed"]["does"][0]["resource"]["metadata"]["name"].startswith("retry-2")


def test_a_retry_goes_on_where_the_run_ended(verdicts: dict[str, dict[str, Any]]) -> None:
    found, run = effect(verdicts, "FlowRun-Failed", "retry-failed"), OBJECTS["FlowRun-Failed"]
    assert found["operation"] == "create"
    assert found["resource"]["spec"] == {
        "flow": run["spec"]["flow"],
        "parameters": run["spec"]["parameters"],
        "version": run["status"]["version"]["number"],
        "resumeFrom": {"run": run["metadata"]["name"]},
    }


OWNERS = {
    kind: {
        "apiVersion": "headwater.dev/v1alpha1",
        "kind": kind,
        "name": "one",
        "uid": f"uid-{kind}",
        "controller": True,
    }
    for kind in ("Flow", "FlowRun")
}
LABELS = {"headwater.dev/schedule": "nightly", "headwater.dev/flow": "good", "app.kubernetes.io/instance": "theirs"}
ORIGINS = {
    "made by hand": {},
    "of a schedule": {"ownerReferences": [OWNERS["Flow"]], "labels": LABELS},
    "started by another run": {"ownerReferences": [OWNERS["FlowRun"]]},
    "owned by both": {"ownerReferences": [OWNERS["FlowRun"], OWNERS["Flow"]], "labels": {"team": "a"}},
}


def test_a_retry_is_what_the_command_makes() -> None:
    """The Flow and the schedule are handed on, and not the run whose spec.cancel would hold for it."""
    failed = OBJECTS["FlowRun-Failed"]
    runs = [{**failed, "metadata": {**failed["metadata"], **origin}} for origin in ORIGINS.values()]
    for run, found in zip(runs, judge(runs), strict=True):
        (effect,) = found["actions"]["retry-failed"]["does"]
        named = {field: effect["resource"]["metadata"].pop(field) for field in ("name", "namespace")}
        assert named["namespace"] == run["metadata"]["namespace"]
        assert effect["resource"] == restarted(run, [], [])


def test_what_is_shipped_is_made_of_the_files() -> None:
    made = subprocess.run([sys.executable, ROOT / "scripts" / "argocd-cm"], check=True, capture_output=True, text=True)
    assert made.stdout == SHIPPED.read_text(), "run scripts/argocd-cm > helm/argocd/argocd-cm.yaml"
