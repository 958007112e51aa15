"""Which finished runs and which versions of a Flow are kept. Pure.

Runs that a GitOps tool or Helm manages are compacted instead of deleted: the tool would make them again, and they would
run again. A run that another run has started stays as long as that goes on, which may want its results.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from headwater.resources.conditions import find, parse_timestamp, timestamp
from headwater_operator.kinds import Manifest
from headwater_operator.runs.claims import key_of

# Where the schema's defaults are missing: in objects from before it had them.
KEPT_RUNS = 20
KEPT_VERSIONS = 10

# By these a tool knows what is its own: Argo CD, Flux, Helm.
TRACKING_LABELS = (
    "app.kubernetes.io/instance",
    "argocd.argoproj.io/instance",
    "kustomize.toolkit.fluxcd.io/name",
    "helm.toolkit.fluxcd.io/name",
)
TRACKING_ANNOTATIONS = ("argocd.argoproj.io/tracking-id", "meta.helm.sh/release-name")


@dataclass(frozen=True)
class Verdict:
    """Runs to *delete* and to *compact*, and when the next one's time is up."""

    delete: tuple[Manifest, ...] = ()
    compact: tuple[Manifest, ...] = ()
    again_seconds: float | None = None


def is_tracked(run: Manifest) -> bool:
    """Whether a GitOps tool or Helm manages an object, and would make it again."""
    labels, annotations = run["metadata"].get("labels", {}), run["metadata"].get("annotations", {})
    helm = labels.get("app.kubernetes.io/managed-by") == "Helm"
    return (
        helm or any(key in labels for key in TRACKING_LABELS) or any(key in annotations for key in TRACKING_ANNOTATIONS)
    )


def is_compact(run: Manifest) -> bool:
    return "compactedAt" in run.get("status", {})


def compacted(run: Manifest, now: datetime) -> dict[str, Any]:
    """The status of a run that keeps its result and gives up the rest."""
    gone = {name: None for name in ("tasks",) if name in run.get("status", {})}
    return {**gone, "compactedAt": timestamp(now)}


def judge(runs: list[Manifest], history: Mapping[str, Any], needed: AbstractSet[str], now: datetime) -> Verdict:
    """Say which runs of a flow have to go.

    Of the successful ones, the failed ones, and those that did not run, the newest are kept; none longer than the time
    given. The newest of all always stays, and so do those of *needed* (uids). A run with a time of its own has no part
    in this.
    """
    finished = [
        run
        for run in runs
        if _result(run) is not None and "deletionTimestamp" not in run["metadata"] and own_ttl_seconds(run) is None
    ]
    newest = max(finished, key=_finished_at, default=None)
    judged = [
        run for run in finished if run is not newest and run["metadata"]["uid"] not in needed and not _is_done_with(run)
    ]
    ttl = history.get("ttlSecondsAfterFinished")
    surplus = _surplus(finished, history)
    gone, left = [], []
    for run in judged:
        seconds = left_seconds(run, ttl, now)
        if run["metadata"]["uid"] in surplus or (seconds is not None and seconds <= 0):
            gone.append(run)
        elif seconds is not None:
            left.append(seconds)
    return Verdict(
        delete=tuple(run for run in gone if not is_tracked(run)),
        compact=tuple(run for run in gone if is_tracked(run)),
        again_seconds=min(left, default=None),
    )


def own_ttl_seconds(run: Manifest) -> int | None:
    seconds = run["spec"].get("ttlSecondsAfterFinished")
    return int(seconds) if seconds is not None else None


def left_seconds(run: Manifest, ttl: int | None, now: datetime) -> float | None:
    """How long a finished run still stays; None without a time."""
    if ttl is None:
        return None
    return (parse_timestamp(_finished_at(run)) + timedelta(seconds=ttl) - now).total_seconds()


def old_versions(
    versions: list[Manifest], limit: int, runs: Iterable[Manifest], needed: AbstractSet[str]
) -> list[Manifest]:
    """The versions that are not among the newest, not *needed* (by name), and that no run uses, oldest first."""
    used = set(needed)
    numbers = set()
    for run in runs:
        used.add(run.get("status", {}).get("version", {}).get("name"))
        numbers.add(run["spec"].get("version"))
    by_number = sorted(versions, key=lambda version: int(version["spec"]["number"]))
    return [
        version
        for version in by_number[: max(0, len(by_number) - limit)]
        if version["metadata"]["name"] not in used
        and version["spec"]["number"] not in numbers
        and "deletionTimestamp" not in version["metadata"]
    ]


def _surplus(finished: list[Manifest], history: Mapping[str, Any]) -> set[str]:
    """The uids of the runs that are too many."""
    kept = {"Success": int(history.get("succeeded", KEPT_RUNS)), "Failed": int(history.get("failed", KEPT_RUNS))}
    groups: dict[str, list[Manifest]] = {}
    for run in finished:
        groups.setdefault(_group(run), []).append(run)
    return {
        run["metadata"]["uid"]
        for group, members in groups.items()
        for run in sorted(members, key=_finished_at, reverse=True)[kept.get(group, kept["Failed"]) :]
    }


def _group(run: Manifest) -> str:
    state = _result(run)
    # With the result of another run of its key it says nothing that this one does not.
    is_known = key_of(run) is not None and "attempt" not in run.get("status", {})
    if is_known or state in ("Skipped", "Cancelled"):
        return "NotRun"
    return "Success" if state == "Success" else "Failed"


def _is_done_with(run: Manifest) -> bool:
    return is_tracked(run) and is_compact(run)


def _result(run: Manifest) -> str | None:
    condition = find(run.get("status", {}).get("conditions", []), "Succeeded")
    return str(condition["reason"]) if condition is not None and condition["status"] != "Unknown" else None


def _finished_at(run: Manifest) -> str:
    return str(run.get("status", {}).get("finishedAt") or run["metadata"]["creationTimestamp"])
