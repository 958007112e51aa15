"""What to do about a FlowVersion: have it inspected once, by a pod of its own image, and say what came of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from headwater.resources.conditions import (
    Condition,
    find,
    held_up,
    parse_timestamp,
    ready,
    reconciling,
    stalled,
    to_manifest,
)
from headwater.resources.names import inspection_name
from headwater_operator import pods
from headwater_operator.kinds import POD, Manifest
from headwater_operator.objects.others import flow_account, source_map
from headwater_operator.objects.pods import inspection_pod
from headwater_operator.plans import Delete, Plan, Refusal
from headwater_operator.settings import Settings
from headwater_operator.trouble import LASTING_SECONDS, trouble

# How late the last write of an inspection may be seen after its pod has ended.
LAST_WRITE_SECONDS = 10.0


@dataclass(frozen=True)
class Observed:
    """A version and what exists for it; *account* tells whether the namespace has the flow pods' account,
    *refusal* what the API server said when it last refused the inspection pod."""

    version: Manifest
    pod: Manifest | None
    account: bool
    refusal: Refusal | None = None
    current: bool = False  # whether its Flow gives it to new runs


def plan(seen: Observed, settings: Settings, now: datetime) -> Plan:
    """Decide. A version is inspected once; what was found stays."""
    if "deletionTimestamp" in seen.version["metadata"]:
        return Plan()
    found = _inspect(seen, settings, now)
    if seen.current == seen.version.get("status", {}).get("current", False):
        return found
    return replace(found, status={**(found.status or {}), "current": seen.current})


def _inspect(seen: Observed, settings: Settings, now: datetime) -> Plan:
    if is_settled(seen.version):
        return _tidy(seen)
    if seen.pod is None:
        return _begin(seen, settings, now)
    return _follow(seen, seen.pod, now)


def is_settled(version: Manifest) -> bool:
    """Whether nothing more will be found out: it can be used, or its flow is broken."""
    condition = find(version.get("status", {}).get("conditions", []), "Ready")
    return condition is not None and (condition["status"] == "True" or condition["reason"] == "InspectionFailed")


def is_ready(version: Manifest) -> bool:
    condition = find(version.get("status", {}).get("conditions", []), "Ready")
    return condition is not None and condition["status"] == "True"


def is_current(version: Manifest, flow: Manifest | None) -> bool:
    """Whether new runs of the flow take this version."""
    if flow is None:
        return False
    named = flow.get("status", {}).get("currentVersion", {}).get("name") == version["metadata"]["name"]
    # A version has no owner once its flow was deleted with --cascade=orphan.
    owners = version["metadata"].get("ownerReferences", [])
    return named and any(owner["uid"] == flow["metadata"]["uid"] for owner in owners)


def message(version: Manifest) -> str:
    """What the version says of itself."""
    condition = find(version.get("status", {}).get("conditions", []), "Ready")
    return str(condition["message"]) if condition else "waiting for the operator"


def _tidy(seen: Observed) -> Plan:
    """The pod of a good inspection has no more to tell; that of a failed one keeps its logs."""
    if seen.pod is None or not is_ready(seen.version) or "deletionTimestamp" in seen.pod["metadata"]:
        return Plan()
    return Plan(delete=(Delete(POD, seen.pod["metadata"]["name"]),))


def _begin(seen: Observed, settings: Settings, now: datetime) -> Plan:
    refusal = seen.refusal
    if refusal is not None and refusal.permanent:
        return _say(seen, {}, stalled("InspectionFailed", refusal.words("the inspection pod is")), now)
    wanted = _needs(seen, settings)
    if refusal is None or not refusal.is_about(wanted):
        return Plan(create=wanted)
    before = seen.version.get("status", {}).get("conditions", [])
    said = _say(seen, {}, trouble(refusal.reason, refusal.words("the inspection pod is"), before, now), now)
    return replace(said, create=wanted if refusal.is_over(now) else (), again_seconds=refusal.again_seconds(now))


def _needs(seen: Observed, settings: Settings) -> tuple[Manifest, ...]:
    if not seen.account and not seen.version["spec"].get("serviceAccountName"):
        # Before the pod: a pod of an account that is not there is refused.
        return flow_account(namespace=seen.version["metadata"]["namespace"], settings=settings)
    source = [source_map(version=seen.version)] if seen.version["spec"].get("source") else []
    return (*source, inspection_pod(version=seen.version, settings=settings))


def _follow(seen: Observed, pod: Manifest, now: datetime) -> Plan:
    if "deletionTimestamp" in pod["metadata"]:
        return Plan()  # made again once it is gone
    status = seen.version.get("status", {})
    fields: dict[str, Any] = {"attempt": {"podName": pod["metadata"]["name"], "podUID": pod["metadata"]["uid"]}}
    if "error" in status:
        return _say(seen, fields, stalled("InspectionFailed", _error_text(status["error"])), now)
    if pods.phase(pod) == "Succeeded":
        return _succeeded(seen, pod, fields, now)
    if pods.took_too_long(pod):
        text = "importing the flow took longer than startDeadlineSeconds: does its module run something, or wait?"
        return _say(seen, fields, stalled("InspectionFailed", text), now)
    if pods.was_stopped(pod):
        # Not the flow's doing: an eviction, a lost node, an image that did not come in time.
        text = f"the inspection pod was stopped and is made again: {pods.how_ended(pod).message}"
        said = _say(seen, fields, _stopped(seen, text, now), now)
        return replace(said, delete=(Delete(POD, pod["metadata"]["name"]),))
    if pods.phase(pod) == "Failed":
        word = (pods.last_word(pod) or {}).get("message") or pods.how_ended(pod).message
        text = f"the inspection pod {inspection_name(seen.version['metadata']['name'])} failed: {word}"
        return _say(seen, fields, stalled("InspectionFailed", text), now)
    wait = pods.why_waiting(pod)
    if wait is None:
        return _say(seen, fields, reconciling("Inspecting", f"looking at the flow in {_image(seen)}"), now)
    if wait.reason in pods.IMAGE_REASONS or wait.reason.startswith("Create"):
        return _say(seen, fields, stalled(wait.reason, wait.message), now)
    return _say(seen, fields, reconciling(wait.reason, wait.message), now)


def _stopped(seen: Observed, text: str, now: datetime) -> list[Condition]:
    """It goes on by itself, unless it was stopped again and again, or at its deadline."""
    age = (now - parse_timestamp(seen.version["metadata"]["creationTimestamp"])).total_seconds()
    return (stalled if age >= LASTING_SECONDS else held_up)("InspectionStopped", text)


def _succeeded(seen: Observed, pod: Manifest, fields: dict[str, Any], now: datetime) -> Plan:
    status = seen.version.get("status", {})
    if "graph" not in status:
        ended_at = pods.ended_at(pod)
        if ended_at is not None and (now - ended_at).total_seconds() > LAST_WRITE_SECONDS:
            text = "the inspection pod ended without a word: does the flow's module leave the process on import?"
            return _say(seen, fields, stalled("InspectionFailed", text), now)
        return Plan(again_seconds=1.0)  # its last write is on the way: it ends well only after that
    digest = pods.image_digest(pod)
    if digest is not None and "image" not in status:
        fields["image"] = digest
    tasks = status["graph"].get("counts", {}).get("tasks", 0)
    words = f"{tasks} task{'' if tasks == 1 else 's'}, image {digest or seen.version['spec']['image']}"
    return _say(seen, fields, ready("Inspected", words), now)


def _say(seen: Observed, fields: dict[str, Any], conditions: list[Condition], now: datetime) -> Plan:
    generation = seen.version["metadata"]["generation"]
    before = seen.version.get("status", {}).get("conditions", [])
    written = to_manifest(conditions, before, generation, now)
    return Plan(status={**fields, "observedGeneration": generation, "conditions": written})


def _image(seen: Observed) -> str:
    return str(seen.version["spec"]["image"])


def _error_text(error: dict[str, Any]) -> str:
    tail = str(error.get("traceback", "")).strip()
    return f"the flow cannot be imported: {error['message']}" + (f"\n{tail}" if tail else "")
