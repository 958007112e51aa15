"""What the API server takes and what it refuses, and that a refusal names the field. Nothing is stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("installed")]

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(
    path
    for path in ROOT.glob("examples/*/*.yaml")
    if any(f"kind: {kind}\n" in path.read_text() for kind in ("Flow", "FlowRun"))
)


def flow(**spec: Any) -> dict[str, Any]:
    return {"image": "acme/etl:1", "entrypoint": "etl.flow:flow", **spec}


def runner(**settings: Any) -> dict[str, Any]:
    return flow(execution={"runner": settings})


def version(**spec: Any) -> dict[str, Any]:
    return {"flow": "etl", "number": 12, "image": "acme/etl:1", "entrypoint": "etl.flow:flow", **spec}


FULL_POD = {
    "resources": {
        "requests": {"cpu": 1, "memory": "512Mi", "nvidia.com/gpu": "1", "hugepages-2Mi": "4Mi"},
        "limits": {"cpu": "1500m", "memory": "0.5Gi", "ephemeral-storage": "1e9"},
    },
    "env": [
        {"name": "PLAIN", "value": "1"},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}},
        {"name": "with.dots-and_dashes"},
    ],
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"operator": "Exists"}, {"key": "k", "value": "v", "effect": "NoExecute", "tolerationSeconds": 5}],
    "podTemplate": {
        "metadata": {"labels": {"team": "data"}, "annotations": {"note": "x"}},
        "spec": {
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            "containers": [{"name": "flow", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
        },
    },
}
FULL = flow(
    image="ghcr.io/acme/etl:1.4.2@sha256:" + "0" * 64,
    entrypoint="flows/etl_2.py:flow",
    source={"files": {"etl.py": "flow = 1\n", "__init__.py": "", "data.v1-a_b.json": "{}"}},
    parameters={"airport": "IAD", "radius": 1.5, "n": None, "deep": {"list": [1, None, {"true": False}]}},
    execution={
        "provisioner": "Pods",
        "workers": 1000,
        "threadsPerWorker": 1024,
        "runner": FULL_POD,
        "worker": FULL_POD,
    },
    serviceAccountName="etl.account",
    startDeadlineSeconds=31536000,
    timeoutSeconds=1,
)
LASTING = {
    "suspend": True,
    "concurrency": {"limit": 1, "policy": "Replace", "limits": [{"name": "db.main", "slots": 3}, {"name": "gpu"}]},
    "history": {"succeeded": 0, "failed": 10000, "ttlSecondsAfterFinished": 0},
    "versions": {"historyLimit": 1},
}

GOOD = {
    "an image and an entrypoint": ("Flow", flow(), "etl"),
    "source alone": ("Flow", {"entrypoint": "flow.py:flow", "source": {"files": {"flow.py": ""}}}, "etl"),
    "source with a module": ("Flow", {"entrypoint": "flow:flow", "source": {"files": {"flow.py": ""}}}, "etl"),
    "every field": ("Flow", {**FULL, **LASTING}, "etl"),
    "named limits alone": ("Flow", flow(concurrency={"policy": "Skip", "limits": [{"name": "gpu"}]}), "etl"),
    "128 KiB of source": ("Flow", flow(source={"files": {"a.py": "x" * 65536, "b.py": "é" * 32768}}), "etl"),
    "a name of 52": ("Flow", flow(), "a" * 52),
    "a registry with a port": ("Flow", flow(image="localhost:5000/a/b_c/d-e.f"), "etl"),
    "a registry by address": ("Flow", flow(image="[fd00::1]:5000/etl:v1"), "etl"),
    "a file by its whole path": ("Flow", flow(entrypoint="/opt/etl/flow.py:flow"), "etl"),
    "no account of its own": ("Flow", flow(serviceAccountName=""), "etl"),
    "in process, workers ignored": ("Flow", flow(execution={"provisioner": "InProcess", "workers": 5}), "etl"),
    "a version": ("FlowVersion", version(), "etl-v12"),
    "a version with every field": ("FlowVersion", {**FULL, "flow": "etl", "number": 3}, "etl-v3"),
    "a version of the longest name": (
        "FlowVersion",
        version(flow="f" * 52, number=123456789),
        f"{'f' * 52}-v123456789",
    ),
    "a run": ("FlowRun", {"flow": "etl"}, "etl-1"),
    "a run with every field": (
        "FlowRun",
        {
            "flow": "etl",
            "version": 3,
            "parameters": {"a": [1]},
            "priority": -5,
            "suspend": True,
            "idempotencyKey": "2026-11-23 10:00",
            "ttlSecondsAfterFinished": 0,
            "cancel": "Terminate",
            "decisions": [{"task": "load-1", "mapIndex": 0, "decision": "Skipped", "message": "by hand"}],
        },
        "r" * 52,
    ),
}

QUANTITY = "a quantity of zero or more"
BAD = {
    # case: kind, spec, name, what the refusal says
    "nothing": ("Flow", {}, "a", "spec.entrypoint: Required value"),
    "no code": ("Flow", {"entrypoint": "a:b"}, "a", "spec.image: Invalid value: give an image"),
    "a misspelt field": ("Flow", flow(imagee="x"), "a", 'unknown field "spec.imagee"'),
    "a later field": ("Flow", flow(warmRunners=1), "a", 'unknown field "spec.warmRunners"'),
    "an image with a blank": ("Flow", flow(image="a b"), "a", 'spec.image: Invalid value: "a b": an image is'),
    "an image in capitals": ("Flow", flow(image="Etl:1"), "a", "spec.image"),
    "an image with half a digest": ("Flow", flow(image="etl@sha256:abc"), "a", "spec.image"),
    "an empty image": ("Flow", flow(image=""), "a", "spec.image"),
    "a bare module": ("Flow", flow(entrypoint="etl"), "a", 'spec.entrypoint: Invalid value: "etl": an entrypoint is'),
    "a path upwards": ("Flow", flow(entrypoint="../etl.py:flow"), "a", "spec.entrypoint"),
    "no attribute": ("Flow", flow(entrypoint="etl.py:"), "a", "spec.entrypoint"),
    "a call": ("Flow", flow(entrypoint="etl:flow()"), "a", "spec.entrypoint"),
    "a file that is nowhere": (
        "Flow",
        {"entrypoint": "etl.py:flow", "source": {"files": {"flow.py": ""}}},
        "a",
        "spec.entrypoint: Invalid value: the file of the entrypoint is not in source.files",
    ),
    "source without files": ("Flow", flow(source={}), "a", "spec.source.files: Required value"),
    "no files": ("Flow", flow(source={"files": {}}), "a", "spec.source.files"),
    "a folder in source": (
        "Flow",
        flow(source={"files": {"a/b.py": ""}}),
        "a",
        "spec.source.files: Invalid value: a file's name",
    ),
    "too much source": (
        "Flow",
        flow(source={"files": {"a.py": "é" * 65537}}),
        "a",
        "spec.source.files: Invalid value: source.files hold at most 128 KiB",
    ),
    "source that is binary": ("Flow", flow(source={"files": {"a.py": 1}}), "a", "spec.source.files.a.py"),
    "parameters as a list": ("Flow", flow(parameters=["a"]), "a", "spec.parameters"),
    "a parameter called n": ("Flow", flow(parameters={"false": 5}), "a", 'quote the name, as in "n"'),
    "a parameter called y, a list": ("Flow", flow(parameters={"true": [1]}), "a", 'quote the name, as in "n"'),
    "a parameter called on, in a run": ("FlowRun", {"flow": "etl", "parameters": {"true": {}}}, "a", "quote the name"),
    "an unknown provisioner": (
        "Flow",
        flow(execution={"provisioner": "Ray"}),
        "a",
        'spec.execution.provisioner: Unsupported value: "Ray"',
    ),
    "no workers": ("Flow", flow(execution={"workers": 0}), "a", "spec.execution.workers"),
    "too many workers": ("Flow", flow(execution={"workers": 1001}), "a", "spec.execution.workers"),
    "a range of workers": ("Flow", flow(execution={"workers": "1-8"}), "a", "spec.execution.workers"),
    "no threads": ("Flow", flow(execution={"threadsPerWorker": 0}), "a", "spec.execution.threadsPerWorker"),
    "no amount": (
        "Flow",
        runner(resources={"requests": {"cpu": "much"}}),
        "a",
        f"runner.resources.requests: Invalid value: an amount is {QUANTITY}",
    ),
    "a negative amount": (
        "Flow",
        runner(resources={"limits": {"cpu": -1}}),
        "a",
        f"runner.resources.limits: Invalid value: an amount is {QUANTITY}",
    ),
    "an amount as a fraction": ("Flow", runner(resources={"limits": {"cpu": 0.5}}), "a", "runner.resources.limits.cpu"),
    "a misspelt resource": (
        "Flow",
        runner(resources={"limits": {"memroy": "1Gi"}}),
        "a",
        "runner.resources.limits: Invalid value: a resource is cpu, memory",
    ),
    "a request above its limit": (
        "Flow",
        runner(resources={"requests": {"memory": "1Gi"}, "limits": {"memory": "512Mi"}}),
        "a",
        "runner.resources: Invalid value: a request is not larger",
    ),
    "a variable with a blank": ("Flow", runner(env=[{"name": "A B"}]), "a", "runner.env[0].name"),
    "a variable that begins with a digit": ("Flow", runner(env=[{"name": "1A"}]), "a", "runner.env[0].name"),
    "a variable without a name": ("Flow", runner(env=[{"value": "x"}]), "a", "runner.env[0].name"),
    "a variable twice": (
        "Flow",
        runner(env=[{"name": "A"}, {"name": "A"}]),
        "a",
        'runner.env[1]: Duplicate value: {"name":"A"}',
    ),
    "a number as a variable": ("Flow", runner(env=[{"name": "A", "value": 1}]), "a", "runner.env[0].value"),
    "an unknown effect": ("Flow", runner(tolerations=[{"effect": "No"}]), "a", "runner.tolerations[0].effect"),
    "a pod field beside the template's spec": (
        "Flow",
        runner(podTemplate={"nodeName": "x"}),
        "a",
        'unknown field "spec.execution.runner.podTemplate.nodeName"',
    ),
    "a bad account": (
        "Flow",
        flow(serviceAccountName="A_b"),
        "a",
        'spec.serviceAccountName: Invalid value: "A_b": a service account\'s name',
    ),
    "no time to start": ("Flow", flow(startDeadlineSeconds=0), "a", "spec.startDeadlineSeconds"),
    "more than a year": ("Flow", flow(timeoutSeconds=31536001), "a", "spec.timeoutSeconds"),
    "a dot in a flow's name": ("Flow", flow(), "a.b", "metadata.name: Invalid value: a flow's name"),
    "a digit first in a flow's name": ("Flow", flow(), "1a", "metadata.name"),
    "a flow's name of 53": ("Flow", flow(), "a" * 53, "metadata.name: Too long"),
    "a version of another name": (
        "FlowVersion",
        version(),
        "etl-v13",
        "metadata.name: Invalid value: a version is called <flow>-v<number>",
    ),
    "a version of another flow": ("FlowVersion", version(), "other-v12", "metadata.name"),
    "a version without a number": (
        "FlowVersion",
        {k: v for k, v in version().items() if k != "number"},
        "etl-v1",
        "spec.number: Required value",
    ),
    "a version without an image": (
        "FlowVersion",
        {k: v for k, v in version().items() if k != "image"},
        "etl-v12",
        "spec.image: Required value",
    ),
    "version nought": ("FlowVersion", version(number=0), "etl-v0", "spec.number"),
    "no runs at a time": ("Flow", flow(concurrency={"limit": 0}), "a", "spec.concurrency.limit"),
    "an unknown policy": ("Flow", flow(concurrency={"policy": "Wait"}), "a", "spec.concurrency.policy"),
    "a schedule without times": (
        "Flow",
        flow(schedules=[{"name": "a"}]),
        "a",
        "give exactly one of cron, interval, rrule and dates",
    ),
    "a schedule with two kinds of times": (
        "Flow",
        flow(schedules=[{"name": "a", "cron": "@daily", "interval": "1d"}]),
        "a",
        "give exactly one of cron, interval, rrule and dates",
    ),
    "two schedules of one name": (
        "Flow",
        flow(schedules=[{"name": "a", "cron": "@daily"}, {"name": "a", "cron": "@hourly"}]),
        "a",
        "Duplicate value",
    ),
    "a bound on dates": (
        "Flow",
        flow(schedules=[{"name": "a", "dates": ["2026-01-01T00:00:00Z"], "endDate": "2026-02-01T00:00:00Z"}]),
        "a",
        "startDate and endDate say nothing with dates",
    ),
    "an interval in words": ("Flow", flow(schedules=[{"name": "a", "interval": "1 day"}]), "a", "interval"),
    "a schedule without a name": ("Flow", flow(schedules=[{"cron": "@daily"}]), "a", "name"),
    "an unknown way to catch up": (
        "Flow",
        flow(schedules=[{"name": "a", "cron": "@daily", "catchUp": "Some"}]),
        "a",
        "catchUp",
    ),
    "Replace without a limit": (
        "Flow",
        flow(concurrency={"policy": "Replace", "limits": [{"name": "gpu"}]}),
        "a",
        "spec.concurrency.policy: Invalid value: the policy Replace needs a limit",
    ),
    "Skip without a limit": (
        "Flow",
        flow(concurrency={"policy": "Skip"}),
        "a",
        "spec.concurrency.policy: Invalid value: the policy Skip needs a limit",
    ),
    "a limit with a blank": (
        "Flow",
        flow(concurrency={"limits": [{"name": "a b"}]}),
        "a",
        "concurrency.limits[0].name",
    ),
    "a limit twice": (
        "Flow",
        flow(concurrency={"limits": [{"name": "a"}, {"name": "a"}]}),
        "a",
        "spec.concurrency.limits[1]: Duplicate value",
    ),
    "no slots": ("Flow", flow(concurrency={"limits": [{"name": "a", "slots": 0}]}), "a", "concurrency.limits[0].slots"),
    "less than no history": ("Flow", flow(history={"failed": -1}), "a", "spec.history.failed"),
    "no version kept": ("Flow", flow(versions={"historyLimit": 0}), "a", "spec.versions.historyLimit"),
    "half a priority": ("FlowRun", {"flow": "etl", "priority": 0.5}, "a", "spec.priority"),
    "a key too long": ("FlowRun", {"flow": "etl", "idempotencyKey": "k" * 257}, "a", "spec.idempotencyKey"),
    "a run of nothing": ("FlowRun", {}, "a", "spec.flow: Required value"),
    "a run of a bad name": ("FlowRun", {"flow": "a.b"}, "a", 'spec.flow: Invalid value: "a.b": a flow\'s name'),
    "a run of version nought": ("FlowRun", {"flow": "etl", "version": 0}, "a", "spec.version"),
    "a run of a version by name": ("FlowRun", {"flow": "etl", "version": "v1"}, "a", "spec.version"),
    "a run with a later field": ("FlowRun", {"flow": "etl", "retry": {}}, "a", 'unknown field "spec.retry"'),
    "a wish of another word": (
        "FlowRun",
        {"flow": "etl", "cancel": "Stop"},
        "a",
        'spec.cancel: Unsupported value: "Stop"',
    ),
    "a decision of another word": (
        "FlowRun",
        {"flow": "etl", "decisions": [{"task": "a-1", "decision": "Yes"}]},
        "a",
        'spec.decisions[0].decision: Unsupported value: "Yes"',
    ),
    "a decision about nothing": (
        "FlowRun",
        {"flow": "etl", "decisions": [{"decision": "Approve"}]},
        "a",
        "spec.decisions[0].task: Required value",
    ),
    "a decision about a child before the first": (
        "FlowRun",
        {"flow": "etl", "decisions": [{"task": "a-1", "mapIndex": -1, "decision": "Approve"}]},
        "a",
        "spec.decisions[0].mapIndex",
    ),
    "a dot in a run's name": ("FlowRun", {"flow": "etl"}, "a.b", "metadata.name: Invalid value: a run's name"),
    "a run's name of 53": ("FlowRun", {"flow": "etl"}, "a" * 53, "metadata.name: Too long"),
}


@pytest.mark.parametrize(("kind", "spec", "name"), GOOD.values(), ids=GOOD)
def test_is_taken(admit: Callable[..., Any], kind: str, spec: dict[str, Any], name: str) -> None:
    assert admit(kind, name, "default", spec).refusal == ""


@pytest.mark.parametrize(("kind", "spec", "name", "words"), BAD.values(), ids=BAD)
def test_is_refused_by_its_field(
    admit: Callable[..., Any], kind: str, spec: dict[str, Any], name: str, words: str
) -> None:
    refusal = admit(kind, name, "default", spec).refusal
    assert words in refusal, refusal or "it was taken"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT / "examples")))
def test_an_example_is_taken(kubectl: Callable[..., Any], path: Path) -> None:
    kubectl("create", "--dry-run=server", "-f", str(path))


def test_defaults_are_those_of_the_schema(admit: Callable[..., Any]) -> None:
    assert admit("Flow", "a", "default", flow()).body["spec"] == flow(
        execution={"provisioner": "Pods", "workers": 1, "threadsPerWorker": 1},
        startDeadlineSeconds=600,
        suspend=False,
        history={"succeeded": 20, "failed": 20},
        versions={"historyLimit": 10},
    )
    limited = admit("Flow", "a", "default", flow(concurrency={"limits": [{"name": "gpu"}]})).body["spec"]["concurrency"]
    assert limited == {"policy": "Queue", "limits": [{"name": "gpu", "slots": 1}]}
    assert admit("FlowRun", "a", "default", {"flow": "etl"}).body["spec"] == {
        "flow": "etl",
        "priority": 0,
        "suspend": False,
        "cancel": "",
    }
