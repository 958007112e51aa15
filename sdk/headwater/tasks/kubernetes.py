"""Run a Kubernetes Job as a task."""

from __future__ import annotations

import base64
import copy
import json
import math
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headwater.core.context import context
from headwater.core.errors import ClusterError
from headwater.core.task import Task
from headwater.resources.names import TOKEN_FOLDER
from headwater.tasks.attributes import defaults_from_attrs, needed
from headwater.tasks.job_api import Jobs
from headwater.tasks.job_run import TASK_RUN_ANNOTATION, JobError, JobRun, Order

# The Job's own limit, for the case that nobody is left to delete it, comes a little later than ours.
LATER_SECONDS = 10
NAME_LENGTH = 63


class RunNamespacedJob(Task):
    """Make a Job, show the logs of its pods, and return its name when it has succeeded.

    body                          the Job's manifest; apiVersion, kind and restartPolicy may be left out
    namespace                     where, if the body does not say; else that of the kubeconfig or the pod
    delete_job_after_completion   whether it is deleted once it has ended; its pods go with it
    timeout_seconds               how long it may take; it is deleted then
    log_pods                      log each line that its pods write

    A body with metadata.name makes at most one Job per task run: what runs the task a second time, after a crash, finds
    the first one and follows it; one that failed is replaced by a retry. Without a name each attempt has its own Job.
    A Job that fails raises JobError with the reason and the last lines of its logs. It is deleted when the task run is
    interrupted; as a killed process deletes nothing, the task's limits become the Job's activeDeadlineSeconds too.

    Needs the right to create, get, list, watch and delete jobs, to list pods and to get pods/log. On workers of
    Headwater, which hold no token, set automountServiceAccountToken in the worker's podTemplate.
    """

    def __init__(
        self,
        body: Mapping[str, Any] | None = None,
        namespace: str | None = None,
        delete_job_after_completion: bool = True,
        timeout_seconds: float | None = None,
        log_pods: bool = True,
        kube_context: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if timeout_seconds is not None and not timeout_seconds > 0:
            raise ValueError(f'Task "{self.name}": timeout_seconds is {timeout_seconds}; give more than zero.')
        self.body = body
        self.namespace = namespace
        self.delete_job_after_completion = delete_job_after_completion
        self.timeout_seconds = timeout_seconds
        self.log_pods = log_pods
        self.kube_context = kube_context

    @defaults_from_attrs("body", "namespace")
    def run(self, body: Mapping[str, Any] | None = None, namespace: str | None = None) -> str:
        manifest = self._manifest(needed(body, self, "body"))
        own = manifest["metadata"].get("namespace")
        if own and namespace and own != namespace:
            raise ValueError(f'Task "{self.name}": the body is for namespace "{own}", not "{namespace}"; give one.')
        place = connect(own or namespace, self.kube_context)
        mark = _mark()
        manifest["metadata"]["annotations"] = {
            **(manifest["metadata"].get("annotations") or {}),
            TASK_RUN_ANNOTATION: mark,
        }
        order = Order(
            manifest, mark, self.timeout_seconds, self.delete_job_after_completion, self.log_pods, self.logger
        )
        from kubernetes.client import ApiClient

        with ApiClient() as client:
            JobRun(order, Jobs(place, client)).run()
        return str(manifest["metadata"]["name"])

    def _manifest(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the Job to make. Raises ValueError for what is none."""
        manifest = {"apiVersion": "batch/v1", "kind": "Job", **copy.deepcopy(dict(body))}
        if (manifest["apiVersion"], manifest["kind"]) != ("batch/v1", "Job"):
            raise ValueError(
                f'Task "{self.name}": the body is a {manifest["apiVersion"]} {manifest["kind"]}; give a batch/v1 Job.'
            )
        try:
            pod = manifest["spec"]["template"]["spec"]
            pod.setdefault("restartPolicy", "Never")
            metadata = manifest.setdefault("metadata", {})
            name = metadata.get("name") or _own_name(metadata.pop("generateName", None) or f"{self.name}-")
        except (KeyError, TypeError, AttributeError):
            raise ValueError(
                f'Task "{self.name}": the body has no spec.template.spec; compare `kubectl explain job`.'
            ) from None
        metadata["name"] = name
        limits = [limit for limit in (self.timeout_seconds, self.timeout) if limit is not None]
        if limits:
            manifest["spec"].setdefault("activeDeadlineSeconds", math.ceil(min(limits)) + LATER_SECONDS)
        return manifest


def connect(namespace: str | None, kube_context: str | None = None) -> str:
    """Set up the Kubernetes client and return the namespace to work in. Raises ClusterError in words.

    Goes by KUBECONFIG, the pod's account, the token that Headwater gives a runner, or ~/.kube/config.
    """
    from headwater.kubernetes.client import ACCOUNT_NAMESPACE, Cluster

    token = Path(TOKEN_FOLDER, "token")
    has_other = kube_context is not None or "KUBECONFIG" in os.environ or ACCOUNT_NAMESPACE.exists()
    if has_other or not token.exists():
        return Cluster(namespace, kube_context).namespace
    try:
        from kubernetes.config.config_exception import ConfigException
        from kubernetes.config.incluster_config import InClusterConfigLoader
    except ImportError as error:
        raise ClusterError(f"This needs the Kubernetes client ({error}): pip install 'headwater[kubernetes]'") from None
    try:
        InClusterConfigLoader(str(token), f"{TOKEN_FOLDER}/ca.crt").load_and_set()
    except ConfigException as error:
        raise ClusterError(f"The runner's token in {TOKEN_FOLDER} cannot be used: {error}") from None
    return namespace or _namespace_of(token.read_text())


def _namespace_of(token: str) -> str:
    """Return the namespace that a service account's token names."""
    claims = token.split(".")[1]
    read = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    return str(read["kubernetes.io"]["namespace"])


def _mark() -> str:
    """Say which task run this is, the same in each of its attempts; outside a flow no two are the same."""
    run, flow = context.get("flow_run_name"), context.get("flow_name")
    if run is None:
        return secrets.token_hex(8)
    # Runs from a laptop are called like their flow: the time at which they began tells them apart.
    began = f"@{context.get('date')}" if run == flow else ""
    return f"{run}{began}/{context.get('task_slug')}/{context.get('map_index', '')}"


def _own_name(prefix: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", prefix.lower()).strip("-") or "job"
    return f"{words[: NAME_LENGTH - 7]}-{secrets.token_hex(3)}"


__all__ = ["JobError", "RunNamespacedJob"]
