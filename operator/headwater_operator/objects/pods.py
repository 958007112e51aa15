"""The pods of a flow: the runner and the workers of an attempt, and the inspection of a version.

All of them meet the PodSecurity standard `restricted`: not root, nothing writable but a scratch
volume, no capabilities. Only the runner and the inspection hold a token, bound to their pod; the
admission policy lets it write their own object's status and nothing else.
"""

from __future__ import annotations

from typing import Any

from headwater.resources import names
from headwater_operator.kinds import Manifest
from headwater_operator.objects.metadata import metadata
from headwater_operator.objects.template import TemplateError, overlay
from headwater_operator.settings import Settings

USER = 10001  # any but root; the images' own user
TERMINATION_GRACE_SECONDS = 10
DEFAULT_START_DEADLINE_SECONDS = 600  # the schema's default, for objects from before it had one


def runner_pod(*, run: Manifest, version: Manifest, attempt: int, settings: Settings) -> Manifest:
    """The pod that executes an attempt."""
    name = names.attempt_name(run["metadata"]["name"], attempt)
    pod = _pod(
        name=name,
        owner=run,
        version=version,
        role=names.RUNNER,
        labels=_run_labels(run, version, attempt, "scheduler"),
        command=["python", "-m", "headwater.pod.execute"],
        env=[],
        settings=settings,
        execution_part="runner",
    )
    container = pod["spec"]["containers"][0]
    container["ports"] = [
        {"name": "scheduler", "containerPort": names.SCHEDULER_PORT},
        {"name": "records", "containerPort": names.RECORDS_PORT},
    ]
    _add_run_folder(pod, name)
    _add_token(pod)
    return _finish(pod, version, "runner")


def worker_pod(
    *, run: Manifest, version: Manifest, attempt: int, index: int, address: str, settings: Settings
) -> Manifest:
    """A Dask worker of an attempt; *address* is the Service's cluster IP."""
    scheme = "tls" if settings.tls else "tcp"
    host = f"[{address}]" if ":" in address else address
    pod = _pod(
        name=names.worker_name(run["metadata"]["name"], attempt, index),
        owner=run,
        version=version,
        role=names.WORKER,
        labels=_run_labels(run, version, attempt, "worker"),
        command=["python", "-m", "headwater.pod.worker"],
        env=[{"name": "HEADWATER_SCHEDULER", "value": f"{scheme}://{host}:{names.SCHEDULER_PORT}"}],
        settings=settings,
        execution_part="worker",
    )
    _add_run_folder(pod, names.attempt_name(run["metadata"]["name"], attempt))
    return _finish(pod, version, "worker")


def inspection_pod(*, version: Manifest, settings: Settings) -> Manifest:
    """The pod that looks at a new version in its own image. Placed and equipped like a runner."""
    name = version["metadata"]["name"]
    pod = _pod(
        name=names.inspection_name(name),
        owner=version,
        version=version,
        role=names.INSPECTION,
        labels={},
        command=["python", "-m", "headwater.pod.inspect"],
        env=[
            {"name": "HEADWATER_NAMESPACE", "value": version["metadata"]["namespace"]},
            {"name": "HEADWATER_VERSION", "value": name},
            {"name": "HEADWATER_ENTRYPOINT", "value": version["spec"]["entrypoint"]},
        ],
        settings=settings,
        execution_part="runner",
    )
    if version["spec"].get("resolveImage") and settings.image_pull_policy == "IfNotPresent":
        # What the tag stands for now is asked of the registry, not of the node.
        pod["spec"]["containers"][0]["imagePullPolicy"] = "Always"
    _add_token(pod)
    # A module that never finishes its import must not be waited for for ever.
    pod["spec"]["activeDeadlineSeconds"] = version["spec"].get("startDeadlineSeconds", DEFAULT_START_DEADLINE_SECONDS)
    return _finish(pod, version, "runner")


def image_of(version: Manifest) -> str:
    """The image that runs: by digest once that is known."""
    return str(version.get("status", {}).get("image") or version["spec"]["image"])


def _run_labels(run: Manifest, version: Manifest, attempt: int, dask_component: str) -> dict[str, str]:
    return {
        names.RUN_LABEL: run["metadata"]["name"],
        names.ATTEMPT_LABEL: str(attempt),
        # What Dask's own tools on Kubernetes look for.
        "dask.org/cluster-name": names.attempt_name(run["metadata"]["name"], attempt),
        "dask.org/component": dask_component,
    }


def _pod(
    *,
    name: str,
    owner: Manifest,
    version: Manifest,
    role: str,
    labels: dict[str, str],
    command: list[str],
    env: list[dict[str, Any]],
    settings: Settings,
    execution_part: str,
) -> Manifest:
    own = version["spec"].get("execution", {}).get(execution_part, {})
    labels = {
        names.FLOW_LABEL: version["spec"]["flow"],
        names.VERSION_LABEL: version["metadata"]["name"],
        **labels,
    }
    pod_name = {"name": "HEADWATER_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    base_env = [{"name": "HOME", "value": "/tmp"}, {"name": "PYTHONUNBUFFERED", "value": "1"}, pod_name]
    container: dict[str, Any] = {
        "name": names.CONTAINER,
        "image": image_of(version),
        "imagePullPolicy": settings.image_pull_policy,
        "command": command,
        "env": overlay(own.get("env", []), [*base_env, *env], "env"),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
    }
    if own.get("resources"):
        container["resources"] = own["resources"]
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "serviceAccountName": version["spec"].get("serviceAccountName") or settings.flow_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": TERMINATION_GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "scratch", "emptyDir": {}}],
    }
    for field in ("nodeSelector", "tolerations"):
        if own.get(field):
            spec[field] = own[field]
    if version["spec"].get("source"):
        source = names.source_name(version["metadata"]["name"])
        spec["volumes"].append({"name": "source", "configMap": {"name": source}})
        mount = {"name": "source", "mountPath": names.SOURCE_FOLDER, "readOnly": True}
        container["volumeMounts"].append(mount)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata(name=name, owner=owner, role=role, labels=labels),
        "spec": spec,
    }


def _add_run_folder(pod: Manifest, secret: str) -> None:
    pod["spec"]["volumes"].append({"name": "run", "secret": {"secretName": secret, "defaultMode": 0o440}})
    mount = {"name": "run", "mountPath": names.RUN_FOLDER, "readOnly": True}
    pod["spec"]["containers"][0]["volumeMounts"].append(mount)


def _add_token(pod: Manifest) -> None:
    """A token of the pod's own: its claims name the pod, which is what the admission policy goes by."""
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    ]
    pod["spec"]["volumes"].append({"name": "token", "projected": {"sources": sources, "defaultMode": 0o440}})
    mount = {"name": "token", "mountPath": names.TOKEN_FOLDER, "readOnly": True}
    pod["spec"]["containers"][0]["volumeMounts"].append(mount)


def _finish(pod: Manifest, version: Manifest, part: str) -> Manifest:
    """Lay the user's podTemplate over the pod; what the operator lives by stays as it is.

    Raises TemplateError when the template has another shape than a pod.
    """
    template = version["spec"].get("execution", {}).get(part, {}).get("podTemplate")
    if not template:
        return pod
    try:
        return _overlay(pod, template)
    except (AttributeError, KeyError, StopIteration, TypeError) as error:
        words = (
            f"spec.execution.{part}.podTemplate has not the shape of a pod ({error}); compare kubectl explain pod.spec"
        )
        raise TemplateError(words) from None


def _overlay(pod: Manifest, template: Manifest) -> Manifest:
    merged = overlay(pod, {field: template[field] for field in ("metadata", "spec") if field in template})
    for field in ("name", "namespace", "ownerReferences"):
        merged["metadata"][field] = pod["metadata"][field]
    merged["metadata"]["labels"] = {**merged["metadata"]["labels"], **pod["metadata"]["labels"]}
    merged["spec"]["restartPolicy"] = pod["spec"]["restartPolicy"]
    container = next(c for c in merged["spec"]["containers"] if c["name"] == names.CONTAINER)
    container["command"] = pod["spec"]["containers"][0]["command"]
    container["image"] = pod["spec"]["containers"][0]["image"]
    return dict(merged)
