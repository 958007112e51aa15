"""The Service, Secret, ConfigMap and account that a flow's pods need, and the FlowVersion itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headwater.pod.handover import Handover
from headwater.resources import names
from headwater_operator.kinds import Manifest
from headwater_operator.objects.metadata import metadata
from headwater_operator.settings import Settings


def scheduler_service(*, run: Manifest, version: Manifest, attempt: int) -> Manifest:
    """The address of an attempt's scheduler, known before any pod has one.

    Workers are given its IP, so that nobody waits for DNS; addresses that are not ready are published,
    so that nobody waits for a probe.
    """
    name = names.attempt_name(run["metadata"]["name"], attempt)
    selector = {
        names.RUN_LABEL: run["metadata"]["name"],
        names.ATTEMPT_LABEL: str(attempt),
        names.ROLE_LABEL: names.RUNNER,
    }
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(name=name, owner=run, role=names.RUNNER, labels=_labels(run, version, attempt)),
        "spec": {
            "type": "ClusterIP",
            "publishNotReadyAddresses": True,
            "selector": selector,
            "ports": [
                {"name": "scheduler", "port": names.SCHEDULER_PORT, "targetPort": names.SCHEDULER_PORT},
                {"name": "records", "port": names.RECORDS_PORT, "targetPort": names.RECORDS_PORT},
            ],
        },
    }


def handover(
    *,
    run: Manifest,
    version: Manifest,
    attempt: int,
    settings: Settings,
    task_limits: Sequence[str] = (),
    resume_uid: str = "",
) -> Handover:
    """What the attempt's pods are told; the run's parameters lie over the version's."""
    execution = version["spec"].get("execution", {})
    return Handover(
        run=run["metadata"]["name"],
        namespace=run["metadata"]["namespace"],
        flow=run["spec"]["flow"],
        version=version["metadata"]["name"],
        attempt=attempt,
        entrypoint=version["spec"]["entrypoint"],
        parameters=run_parameters(run, version),
        provisioner=execution.get("provisioner", "Pods"),
        threads_per_worker=execution.get("threadsPerWorker", 1),
        tls=settings.tls,
        title=run["spec"].get("title", ""),
        scheduled_time=run["spec"].get("scheduledTime", ""),
        resume_run=run["spec"].get("resumeFrom", {}).get("run", ""),
        resume_uid=resume_uid,
        resume_tasks=run["spec"].get("resumeFrom", {}).get("tasks", []),
        decisions=run["spec"].get("decisions", []),
        task_limits=list(task_limits),
        uid=run["metadata"]["uid"],
    )


def run_parameters(run: Manifest, version: Manifest) -> dict[str, Any]:
    """The Flow's parameters with the run's over them; a null counts as not given."""
    merged = {**version["spec"].get("parameters", {}), **run["spec"].get("parameters", {})}
    return {name: value for name, value in merged.items() if value is not None}


def attempt_secret(
    *,
    run: Manifest,
    version: Manifest,
    attempt: int,
    settings: Settings,
    pair: tuple[str, str] | None,
    task_limits: Sequence[str] = (),
    resume_uid: str = "",
) -> Manifest:
    """run.json and, with TLS, the attempt's certificate and key (PEM)."""
    told = handover(
        run=run,
        version=version,
        attempt=attempt,
        settings=settings,
        task_limits=task_limits,
        resume_uid=resume_uid,
    )
    data = {"run.json": told.to_json()}
    if pair is not None:
        data["tls.crt"], data["tls.key"] = pair
    name = names.attempt_name(run["metadata"]["name"], attempt)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(name=name, owner=run, role=names.RUNNER, labels=_labels(run, version, attempt)),
        "immutable": True,
        "stringData": data,
    }


def source_map(*, version: Manifest) -> Manifest:
    """The version's source.files."""
    name = version["metadata"]["name"]
    labels = {names.FLOW_LABEL: version["spec"]["flow"], names.VERSION_LABEL: name}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(name=names.source_name(name), owner=version, role="source", labels=labels),
        "immutable": True,
        "data": version["spec"]["source"]["files"],
    }


def flow_account(*, namespace: str, settings: Settings) -> tuple[Manifest, Manifest]:
    """The account that flow pods run as, and what it may do in its namespace: start runs and look at them."""
    labels = {"app.kubernetes.io/name": "headwater", "app.kubernetes.io/managed-by": "headwater-operator"}
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": settings.flow_account, "namespace": namespace, "labels": labels},
        "automountServiceAccountToken": False,
    }
    group = "rbac.authorization.k8s.io"
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": names.FLOW_RUNS_ROLE, "namespace": namespace, "labels": labels},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": names.FLOW_RUNS_ROLE},
        "subjects": [{"kind": "ServiceAccount", "name": settings.flow_account, "namespace": namespace}],
    }
    return account, binding


def flow_version(*, flow: Manifest, number: int, frozen: dict[str, Any], spec_hash: str) -> Manifest:
    """A version of a flow, frozen."""
    flow_name = flow["metadata"]["name"]
    labels = {names.FLOW_LABEL: flow_name, names.HASH_LABEL: spec_hash}
    return {
        "apiVersion": names.API_VERSION,
        "kind": "FlowVersion",
        "metadata": metadata(name=names.version_name(flow_name, number), owner=flow, role="version", labels=labels),
        "spec": {"flow": flow_name, "number": number, **frozen},
    }


def _labels(run: Manifest, version: Manifest, attempt: int) -> dict[str, str]:
    return {
        names.FLOW_LABEL: version["spec"]["flow"],
        names.VERSION_LABEL: version["metadata"]["name"],
        names.RUN_LABEL: run["metadata"]["name"],
        names.ATTEMPT_LABEL: str(attempt),
    }
