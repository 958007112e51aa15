"""Put a Flow resource into a cluster, wait for its version, and say in words what came of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from headwater.core.errors import ClusterError
from headwater.kubernetes.client import Cluster
from headwater.kubernetes.wire import ConflictError
from headwater.resources.conditions import find
from headwater.resources.names import RESOLVE_ANNOTATION
from headwater.resources.versions import resolve_wish

# Who server-side apply knows these fields to belong to.
MANAGER = "headwater-register"

# The annotation, as a conflict names it.
WISH_FIELD = f".metadata.annotations.{RESOLVE_ANNOTATION}"

# Reasons why a Flow is Stalled whose version can run.
OF_SCHEDULES = ("InvalidSchedule", "RunRefused")


@dataclass(frozen=True)
class Outcome:
    """How a registration went: *number* is that of the version that new runs take; *problem* is why the version of
    this registration cannot be used, "" when it can."""

    namespace: str
    name: str
    number: int | None
    words: str
    problem: str = ""


def apply_flow(cluster: Cluster, manifest: dict[str, Any], *, seconds: float, force: bool = False) -> Outcome:
    """Apply, and wait up to *seconds* for the operator's verdict; with 0 not at all. Raises ClusterError."""
    name = manifest["metadata"]["name"]
    before = cluster.find("flows", name)
    applied = _applied(cluster, _with_earlier_wish(manifest, before), force, bool(resolve_wish(manifest)))
    if seconds <= 0:
        return Outcome(cluster.namespace, name, None, _change(before, applied))
    last = applied
    for flow in cluster.follow("flows", name, seconds):
        last, ended = flow, verdict(flow)
        if is_overtaken(applied, flow):
            raise ClusterError(
                f'Flow "{name}" in namespace "{cluster.namespace}" was changed meanwhile by somebody else, so that it '
                "is not known whether what was applied here can run. `kubectl -n "
                f"{cluster.namespace} get flowversions` lists what there is; register again to have it so."
            )
        if ended is not None:
            return _outcome(cluster.namespace, before, flow, ended)
    if find(_conditions(last), "Ready") is None or _number(last) is None:
        hint = "; is the operator running? `kubectl get pods -A -l app.kubernetes.io/component=operator`"
    else:
        hint = ""
    left = cluster.find("flows", name)
    if left is None or left["metadata"]["uid"] != applied["metadata"]["uid"]:
        raise ClusterError(f'Flow "{name}" in namespace "{cluster.namespace}" was deleted while it was waited for.')
    raise ClusterError(
        f'Flow "{name}" in namespace "{cluster.namespace}" is applied, but after {seconds:g} s it is not known whether '
        f"it can run: {_message(last)}{hint}. `kubectl -n {cluster.namespace} get flow {name} -w` follows it."
    )


def _applied(cluster: Cluster, manifest: dict[str, Any], force: bool, anew: bool) -> dict[str, Any]:
    """Apply. A wish that is *anew* takes the place of any, also where somebody has written that with kubectl."""
    try:
        return cluster.apply("flows", manifest, MANAGER, force)
    except ConflictError as error:
        # The wish does not go by a request of its own: the operator would make a version in between.
        if not anew or set(error.fields) != {WISH_FIELD}:
            raise
    return cluster.apply("flows", manifest, MANAGER, force=True)


def _with_earlier_wish(manifest: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    """Without the wish of an earlier registration the version before it would become current again."""
    image = manifest["spec"].get("image")
    if before is None or before["spec"].get("image") != image or "@" in (image or ""):
        return manifest
    wish = resolve_wish(before)
    if not wish or resolve_wish(manifest):
        return manifest
    return {**manifest, "metadata": {**manifest["metadata"], "annotations": {RESOLVE_ANNOTATION: wish}}}


def is_overtaken(applied: dict[str, Any], flow: dict[str, Any]) -> bool:
    """Whether a Flow no longer is what was applied: what is said of it is said of somebody else's."""
    own = applied["metadata"]
    return own["generation"] != flow["metadata"]["generation"] or resolve_wish(applied) != resolve_wish(flow)


def verdict(flow: dict[str, Any]) -> str | None:
    """Return why the flow as it is now cannot run, "" when it can, and None while nobody knows yet."""
    status = flow.get("status", {})
    if status.get("observedGeneration", 0) < flow["metadata"]["generation"]:
        return None
    if status.get("resolveImage", "") != resolve_wish(flow):
        return None
    for kind, words in (("Stalled", _message(flow)), ("Ready", "")):
        condition = find(_conditions(flow), kind)
        if condition is not None and condition["status"] == "True":
            return words
    return None


def _outcome(namespace: str, before: dict[str, Any] | None, flow: dict[str, Any], problem: str) -> Outcome:
    number = _number(flow)
    was = None if before is None else _number(before)
    if number == was:
        words = f"{_change(before, flow)}, version {number}"
    else:
        words = f"version {number}" + ("" if was is None else f" (before: {was})")
    reason = (find(_conditions(flow), "Stalled") or {}).get("reason")
    if problem and reason in OF_SCHEDULES:
        words += ", but not all of its schedules make runs"
    elif problem:
        problem += _way_out(namespace, flow["metadata"]["name"], problem) if reason == "InspectionFailed" else ""
        words = "cannot run" + ("" if number is None else f"; version {number} stays current")
    return Outcome(namespace, flow["metadata"]["name"], number, words, problem)


def _way_out(namespace: str, name: str, problem: str) -> str:
    """What was found out of a version stays, also where it was for want of something that is there by now."""
    found = re.match(re.escape(name) + r"-v\d+\b", problem)
    version = found[0] if found is not None else f"{name}-v..."
    return (
        "\n  if what it lacked is there now (a Secret, a service), inspect it anew: "
        f"kubectl -n {namespace} delete flowversion {version}, or change the flow, by a comment, and register it"
    )


def _change(before: dict[str, Any] | None, flow: dict[str, Any]) -> str:
    if before is None or before["metadata"]["uid"] != flow["metadata"]["uid"]:
        return "made"
    same = before["metadata"]["generation"] == flow["metadata"]["generation"]
    return "unchanged" if same and resolve_wish(before) == resolve_wish(flow) else "changed"


def _number(flow: dict[str, Any]) -> int | None:
    number: int | None = flow.get("status", {}).get("currentVersion", {}).get("number")
    return number


def _conditions(flow: dict[str, Any]) -> list[Any]:
    found: list[Any] = flow.get("status", {}).get("conditions", [])
    return found


def _message(flow: dict[str, Any]) -> str:
    for kind in ("Stalled", "Reconciling", "Ready"):
        condition = find(_conditions(flow), kind)
        if condition is not None and condition["status"] != "False":
            return str(condition["message"])
    return "nothing is said of it yet"
