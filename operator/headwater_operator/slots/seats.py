"""A run's part in the limits of tags: read from its status, and written there. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headwater.resources.names import ROLE_LABEL, TASK_LIMITS
from headwater_operator.kinds import Manifest
from headwater_operator.runs.concurrency import BadLimit, Limits
from headwater_operator.runs.queue import place_of
from headwater_operator.slots.allot import Seat, Slots

DEMAND, LIMITS = "taskDemand", "taskLimits"


def seat_of(run: Manifest, leaves: bool = False, promised: Slots | None = None) -> Seat:
    """Read a run; what a newer runner may say and this operator does not know is left out."""
    status = run.get("status", {})
    demand, limits = status.get(DEMAND) or {}, status.get(LIMITS) or {}
    return Seat(
        uid=run["metadata"]["uid"],
        order=place_of(run).order,
        wanted=_by_name(demand, "wanted"),
        held=_by_name(demand, "held"),
        heard=int(demand.get("serial", 0)),
        granted=_by_name(limits, "granted"),
        serial=serial_of(run),
        promised=promised or {},
        leaves=leaves,
    )


def serial_of(run: Manifest) -> int:
    """The number of a run's newest grant, 0 before the first."""
    return int((run.get("status", {}).get(LIMITS) or {}).get("serial", 0))


def _by_name(found: Mapping[str, Any], key: str) -> dict[str, int]:
    return {entry["name"]: int(entry[key]) for entry in found.get("tags") or []}


def grant(run: Manifest, slots: Slots, limits: Limits) -> dict[str, Any] | None:
    """Return the status that gives a run these slots, or None where it says so already."""
    tags = [
        {"name": name, "granted": count, "message": _words(name, limits.get(name))}
        for name, count in sorted(slots.items())
    ]
    known = run.get("status", {}).get(LIMITS) or {}
    if tags == known.get("tags", []):
        return None
    return {LIMITS: {"serial": serial_of(run) + 1, "tags": tags}}


def _words(tag: str, limit: int | BadLimit | None) -> str:
    match limit:
        case None:
            return f"no ConfigMap with the label {ROLE_LABEL}={TASK_LIMITS} limits it any more"
        case BadLimit(message):
            return message
    return f"of {limit} in the namespace"
