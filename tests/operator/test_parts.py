"""The operator's smaller parts: templates, cache, queue, status patches, manifests whole."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import kopf
import pytest

from headwater_operator import pods
from headwater_operator.apply import difference
from headwater_operator.cache import Cache
from headwater_operator.handlers import configure
from headwater_operator.kinds import FLOW_RUN, POD
from headwater_operator.objects.pods import runner_pod, worker_pod
from headwater_operator.objects.template import TemplateError, overlay
from headwater_operator.queue import WorkKey, WorkQueue
from headwater_operator.settings import Settings


def test_the_runner_pod_whole(make) -> None:
    pod = runner_pod(run=make.run(), version=make.version(), attempt=1, settings=make.settings)
    assert pod == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "etl-1-a1",
            "namespace": "sales",
            "labels": {
                "app.kubernetes.io/name": "headwater",
                "app.kubernetes.io/component": "runner",
                "app.kubernetes.io/managed-by": "headwater-operator",
                "headwater.dev/role": "runner",
                "headwater.dev/flow": "etl",
                "headwater.dev/version": "etl-v1",
                "headwater.dev/run": "etl-1",
                "headwater.dev/attempt": "1",
                "dask.org/cluster-name": "etl-1-a1",
                "dask.org/component": "scheduler",
            },
            "ownerReferences": [
                {
                    "apiVersion": "headwater.dev/v1alpha1",
                    "kind": "FlowRun",
                    "name": "etl-1",
                    "uid": "uid-etl-1",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": "headwater-runner",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 10,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "runAsGroup": 10001,
                "fsGroup": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "flow",
                    "image": "acme/etl:1",
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python", "-m", "headwater.pod.execute"],
                    "env": [
                        {"name": "HOME", "value": "/tmp"},
                        {"name": "PYTHONUNBUFFERED", "value": "1"},
                        {"name": "HEADWATER_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    ],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                        "readOnlyRootFilesystem": True,
                    },
                    "ports": [{"name": "scheduler", "containerPort": 8786}, {"name": "records", "containerPort": 8787}],
                    "volumeMounts": [
                        {"name": "scratch", "mountPath": "/tmp"},
                        {"name": "run", "mountPath": "/etc/headwater/run", "readOnly": True},
                        {"name": "token", "mountPath": "/var/run/secrets/headwater.dev", "readOnly": True},
                    ],
                }
            ],
            "volumes": [
                {"name": "scratch", "emptyDir": {}},
                {"name": "run", "secret": {"secretName": "etl-1-a1", "defaultMode": 0o440}},
                {
                    "name": "token",
                    "projected": {
                        "defaultMode": 0o440,
                        "sources": [
                            {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
                            {
                                "configMap": {
                                    "name": "kube-root-ca.crt",
                                    "items": [{"key": "ca.crt", "path": "ca.crt"}],
                                }
                            },
                        ],
                    },
                },
            ],
        },
    }


def test_what_users_set_for_workers_is_laid_over_the_pod(make) -> None:
    worker = {
        "resources": {"limits": {"memory": "1Gi"}},
        "env": [{"name": "A", "value": "1"}, {"name": "HOME", "value": "/root"}],
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "podTemplate": {
            "metadata": {
                "labels": {"team": "x", "headwater.dev/run": "other"},
                "annotations": {"a": "b"},
                "name": "mine",
            },
            "spec": {
                "restartPolicy": "Always",
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
                "containers": [
                    {"name": "flow", "command": ["sh"], "volumeMounts": [{"name": "data", "mountPath": "/data"}]},
                    {"name": "sidecar", "image": "proxy:1"},
                ],
            },
        },
    }
    version = make.version(execution={"worker": worker})
    version["status"]["image"] = "acme/etl@sha256:abc"
    pod = worker_pod(
        run=make.run(), version=version, attempt=1, index=0, address="fd00::1", settings=Settings(tls=True)
    )
    flow, sidecar = pod["spec"]["containers"]
    env = {e["name"]: e.get("value") for e in flow["env"]}
    assert env == {
        "A": "1",
        "HOME": "/tmp",
        "PYTHONUNBUFFERED": "1",
        "HEADWATER_POD": None,
        "HEADWATER_SCHEDULER": "tls://[fd00::1]:8786",
    }
    assert flow["image"] == "acme/etl@sha256:abc"
    assert flow["command"] == ["python", "-m", "headwater.pod.worker"]
    assert flow["resources"] == {"limits": {"memory": "1Gi"}}
    assert [m["mountPath"] for m in flow["volumeMounts"]] == ["/tmp", "/etc/headwater/run", "/data"]
    assert sidecar == {"name": "sidecar", "image": "proxy:1"}
    assert pod["spec"]["nodeSelector"] == {"disk": "ssd"}
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["metadata"]["name"] == "etl-1-a1-w0"
    assert pod["metadata"]["labels"]["team"] == "x"
    assert pod["metadata"]["labels"]["headwater.dev/run"] == "etl-1"
    assert pod["metadata"]["annotations"] == {"a": "b"}


@pytest.mark.parametrize(
    "template",
    [
        {"spec": {"containers": "flow"}},
        {"spec": "x"},
        {"metadata": {"labels": "x"}},
        {"spec": {"containers": [{"name": "flow", "env": {"A": "1"}}]}, "metadata": 3},
    ],
)
def test_a_template_of_another_shape_names_its_field(make, template: Any) -> None:
    version = make.version(execution={"runner": {"podTemplate": template}})
    with pytest.raises(TemplateError, match=r"spec.execution.runner.podTemplate has not the shape of a pod"):
        runner_pod(run=make.run(), version=version, attempt=1, settings=make.settings)


@pytest.mark.parametrize(
    ("status", "phase", "words"),
    [
        (
            {"phase": "Running", "containerStatuses": [{"name": "flow", "state": {"terminated": {"exitCode": 0}}}]},
            "Succeeded",
            "it ended with exit code 0",
        ),
        (
            {"phase": "Failed", "initContainerStatuses": [{"name": "wait", "state": {"terminated": {"exitCode": 3}}}]},
            "Failed",
            "init container wait ended with exit code 3",
        ),
    ],
)
def test_how_pods_with_company_end(make, status: Any, phase: str, words: str) -> None:
    pod = make.runner() | {"status": status}
    assert pods.phase(pod) == phase
    assert pods.how_ended(pod).message == words


@pytest.mark.parametrize(
    ("base", "over", "result"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}, {"a": {"b": 1, "c": 3}}),
        ({"a": 1}, {"a": None}, {}),
        ({"args": [1]}, {"args": [2]}, {"args": [2]}),
        (
            {"tolerations": [{"key": "a"}]},
            {"tolerations": [{"key": "b"}]},
            {"tolerations": [{"key": "a"}, {"key": "b"}]},
        ),
    ],
)
def test_overlay(base: Any, over: Any, result: Any) -> None:
    assert overlay(base, over) == result


@pytest.mark.parametrize(
    ("now", "wanted", "patch"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 1, "other": 2}, {"a": 1}, {}),
        ({"a": {"x": 1, "theirs": 2}}, {"a": {"x": 1}}, {}),
        ({"a": {"x": 1}}, {"a": {"x": 2, "y": 3}}, {"a": {"x": 2, "y": 3}}),
        ({"c": [1, 2]}, {"c": [1]}, {"c": [1]}),
    ],
)
def test_a_status_patch_holds_only_what_differs(now: Any, wanted: Any, patch: Any) -> None:
    assert difference(now, wanted) == patch


def test_the_cache_keeps_the_newest_and_knows_reborn_names(make) -> None:
    cache = Cache()
    new, old = make.run(), make.run()
    new["metadata"]["resourceVersion"] = "10"
    old["metadata"]["resourceVersion"] = "9"
    assert cache.upsert(FLOW_RUN, new)
    assert not cache.upsert(FLOW_RUN, old)
    reborn = make.run()
    reborn["metadata"] |= {"uid": "other", "resourceVersion": "1", "creationTimestamp": "2026-11-23T12:00:05Z"}
    assert cache.upsert(FLOW_RUN, reborn)
    cache.remove(FLOW_RUN, new)
    assert cache.get(FLOW_RUN, "sales", "etl-1") is reborn, "the late news of the old one's end does not count"
    cache.remove(FLOW_RUN, reborn)
    assert cache.get(FLOW_RUN, "sales", "etl-1") is None
    assert cache.runs_of("sales", "etl") == []


def test_the_cache_finds_pods_by_run_and_forgets_attempts_with_it(make) -> None:
    cache = Cache()
    run = make.run()
    cache.upsert(FLOW_RUN, run)
    cache.upsert(POD, make.worker(0))
    cache.set_address("sales", "etl-1-a1", "10.0.0.9")
    cache.set_address("sales", "etl-1-2-a1", "10.0.0.8")
    cache.add_secret("sales", "etl-1-a1")
    assert [p["metadata"]["name"] for p in cache.pods_of_run("sales", "etl-1")] == ["etl-1-a1-w0"]
    cache.remove(FLOW_RUN, run)
    assert cache.address("sales", "etl-1-a1") is None
    assert not cache.has_secret("sales", "etl-1-a1")
    assert cache.address("sales", "etl-1-2-a1") == "10.0.0.8"


def test_the_queue_works_on_a_key_once_at_a_time_and_once_more_when_asked_meanwhile() -> None:
    async def scenario() -> tuple[list[str], int]:
        log: list[str] = []
        together = most = 0

        async def reconcile(key: WorkKey) -> float | None:
            nonlocal together, most
            together += 1
            most = max(most, together)
            log.append(key.name)
            await asyncio.sleep(0.02)
            together -= 1
            return None

        queue = WorkQueue(reconcile, workers=4)
        queue.start()
        key = WorkKey("FlowRun", "sales", "a")
        for _ in range(5):
            await queue.add(key)
        await asyncio.sleep(0.01)
        for _ in range(5):
            await queue.add(key)
        await asyncio.sleep(0.1)
        await queue.stop()
        return log, most

    log, most = asyncio.run(scenario())
    assert log == ["a", "a"]
    assert most == 1


def test_the_queue_repeats_failures_and_asked_for_looks() -> None:
    async def scenario() -> list[str]:
        log: list[str] = []

        async def reconcile(key: WorkKey) -> float | None:
            log.append(key.name)
            if log.count("a") == 1:
                raise RuntimeError("once")
            return 0.01 if len(log) < 4 else None

        queue = WorkQueue(reconcile, workers=2)
        queue.start()
        await queue.add(WorkKey("FlowRun", "sales", "a"))
        for _ in range(200):
            await asyncio.sleep(0.01)
            if len(log) >= 4:
                break
        await asyncio.sleep(0.05)
        await queue.stop()
        return log

    assert asyncio.run(scenario()) == ["a"] * 4


@pytest.mark.parametrize("turns", range(12))
def test_the_queue_stops_also_in_the_moment_in_which_keys_come(turns: int) -> None:
    """A worker that is woken and cancelled in the same turn of the event loop must not lose the cancelling."""

    async def scenario() -> list[str]:
        log: list[str] = []

        async def reconcile(key: WorkKey) -> float | None:
            log.append(key.name)
            return None

        queue = WorkQueue(reconcile, workers=4)
        queue.start()
        await queue.add(WorkKey("FlowRun", "sales", "later"), 60.0)
        await asyncio.sleep(0.01)
        for name in "abcd":
            await queue.add(WorkKey("FlowRun", "sales", name))
        for _ in range(turns):
            await asyncio.sleep(0)
        stopping = asyncio.create_task(queue.stop())
        done, _ = await asyncio.wait([stopping], timeout=5)
        assert done, "a worker lives on"
        stopped = list(log)
        await queue.add(WorkKey("FlowRun", "sales", "late"))
        await asyncio.sleep(0.01)
        assert log == stopped
        return log

    assert "later" not in asyncio.run(scenario())


def test_the_queue_begins_nothing_new_when_what_it_calls_was_not_to_be_cancelled() -> None:
    async def scenario() -> list[str]:
        log: list[str] = []

        async def reconcile(key: WorkKey) -> float | None:
            log.append(key.name)
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            return 0.0

        queue = WorkQueue(reconcile, workers=1)
        queue.start()
        for name in "ab":
            await queue.add(WorkKey("FlowRun", "sales", name))
        await asyncio.sleep(0.01)
        await asyncio.wait_for(queue.stop(), 5)
        return log

    assert asyncio.run(scenario()) == ["a"]


@pytest.mark.parametrize(
    ("environment", "words"),
    [({"HEADWATER_TLS": "yes"}, "HEADWATER_TLS"), ({"HEADWATER_KEEP_RUNNER_SECONDS": "1h"}, "whole number of seconds")],
)
def test_wrong_settings_name_the_variable(environment: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Settings.from_environment(environment)


def test_thousands_of_objects_are_heard_of_in_a_second() -> None:
    """An object's worker in Kopf stays for a while after each event, and there are only so many of them."""
    settings = kopf.OperatorSettings()
    configure(settings)
    assert settings.queueing.worker_limit is not None
    assert settings.queueing.worker_limit / settings.queueing.idle_timeout >= 5000
