"""What a pod's status says, in the words of a run: is it there, why does it wait, how did it end. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headwater.resources.conditions import parse_timestamp
from headwater.resources.names import CONTAINER
from headwater_operator.kinds import Manifest

# Reasons of a waiting container that somebody has to do something about.
IMAGE_REASONS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
# These are the ordinary steps of a start.
_ORDINARY = ("ContainerCreating", "PodInitializing")


@dataclass(frozen=True)
class Wait:
    """Why a pod does not run yet; *reason* is Kubernetes' word."""

    reason: str
    message: str


@dataclass(frozen=True)
class End:
    """How a pod ended: *reason* such as OOMKilled, Evicted or Error, and one sentence."""

    reason: str
    message: str
    exit_code: int | None


def is_live(pod: Manifest) -> bool:
    """Whether a pod is there to work: not ended, not being deleted."""
    return "deletionTimestamp" not in pod["metadata"] and phase(pod) not in ("Succeeded", "Failed")


def has_ended(pod: Manifest) -> bool:
    return phase(pod) in ("Succeeded", "Failed")


def was_stopped(pod: Manifest) -> bool:
    """Whether a pod ended by no fault of the flow: evicted, preempted, past its deadline, its node lost.

    One whose result could not be written, as the operator was away for long, counts as well.
    """
    unreported = "unreported" in (last_word(pod) or {})
    return phase(pod) == "Failed" and (bool(pod.get("status", {}).get("reason")) or unreported)


def took_too_long(pod: Manifest) -> bool:
    """Whether a pod was ended at its deadline although its container had begun."""
    return pod.get("status", {}).get("reason") == "DeadlineExceeded" and started_at(pod) is not None


def phase(pod: Manifest) -> str:
    """The pod's phase; over when the flow's own container is over, whatever sidecars still do."""
    found = str(pod.get("status", {}).get("phase", "Pending"))
    ended = _container(pod).get("state", {}).get("terminated")
    if found == "Running" and ended is not None:
        return "Succeeded" if ended.get("exitCode") == 0 else "Failed"
    return found


def started_at(pod: Manifest) -> str | None:
    """When the flow's container started, or None when it has not."""
    state = _container(pod).get("state", {})
    return (state.get("running") or state.get("terminated") or {}).get("startedAt")


def ended_at(pod: Manifest) -> datetime | None:
    """When the flow's container ended, or None when it has not."""
    ended = _container(pod).get("state", {}).get("terminated") or {}
    return parse_timestamp(ended["finishedAt"]) if ended.get("finishedAt") else None


def why_waiting(pod: Manifest) -> Wait | None:
    """Return why a pod does not run yet, or None when it runs or is in an ordinary step of its start."""
    if phase(pod) != "Pending":
        return None
    status = pod.get("status", {})
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        waiting = container.get("state", {}).get("waiting")
        if waiting and waiting.get("reason") not in _ORDINARY:
            return _container_wait(container, waiting)
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return Wait("Unschedulable", f"no node takes pod {pod['metadata']['name']}: {condition.get('message', '')}")
    return None


def _container_wait(container: dict[str, Any], waiting: dict[str, Any]) -> Wait:
    reason, detail = str(waiting.get("reason", "Waiting")), str(waiting.get("message", ""))
    if reason in IMAGE_REASONS:
        # The kubelet alternates between "failed" and "back-off" with the same cause inside: say the cause only.
        cause = re.sub(r'^Back-off pulling image "[^"]*":? ?', "", detail)
        cause = re.sub(r"^(ErrImagePull|ImagePullBackOff): ", "", cause).strip()
        words = f'image "{container["image"]}" cannot be pulled'
        return Wait("ImagePullBackOff", f"{words}: {cause}" if cause else words)
    return Wait(reason, f"container {container['name']} waits: {reason}{f': {detail}' if detail else ''}")


def how_ended(pod: Manifest) -> End:
    """Say how a pod ended, from the kubelet's and the node's words."""
    status = pod.get("status", {})
    if status.get("reason"):  # Evicted, NodeLost, Preempting, ...
        return End(str(status["reason"]), f"{status['reason']}: {status.get('message', '')}".rstrip(": "), None)
    ended = _container(pod).get("state", {}).get("terminated") or {}
    for container in status.get("initContainerStatuses", []):
        failed = container.get("state", {}).get("terminated") or {}
        if failed.get("exitCode"):
            code = failed["exitCode"]
            return End("InitContainer", f"init container {container['name']} ended with exit code {code}", code)
    reason, code = str(ended.get("reason", "Error")), ended.get("exitCode")
    words = reason if reason not in ("Error", "Completed") else "it ended"
    if code is not None:
        words += f" with exit code {code}"
    text = str(ended.get("message", "")).strip()
    if text and last_word(pod) is None:
        words += f": {text.splitlines()[-1]}"
    return End(reason, words, code)


def last_word(pod: Manifest) -> dict[str, Any] | None:
    """Return what the process left in its termination message, when that is an object of ours."""
    ended = _container(pod).get("state", {}).get("terminated") or {}
    try:
        word = json.loads(ended.get("message", ""))
    except ValueError:
        return None
    return word if isinstance(word, dict) else None


def image_digest(pod: Manifest) -> str | None:
    """Return the image as the node resolved it, `repository@sha256:...`, or None where it has no such digest."""
    found = str(_container(pod).get("imageID", "")).removeprefix("docker-pullable://")
    return found if "@sha256:" in found else None


def _container(pod: Manifest) -> dict[str, Any]:
    """The status of the flow's container; empty before the kubelet has seen it."""
    for container in pod.get("status", {}).get("containerStatuses", []):
        if container["name"] == CONTAINER:
            return dict(container)
    return {}
