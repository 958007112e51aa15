"""The manifest of an Event, as `kubectl describe` and `kubectl get events` show it."""

from __future__ import annotations

from datetime import UTC, datetime

from headwater.resources.names import event_name
from headwater_operator.events import Event
from headwater_operator.kinds import Manifest

REPORTER = "headwater-operator"


def event_manifest(event: Event, about: Manifest, count: int, at: datetime) -> Manifest:
    """Return the Event of an object and a reason, told *count* times and now the last time.

    Its name is made of both, so that a fact which is told again is counted there.
    """
    metadata = about["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": event_name(metadata["name"], metadata["uid"], event.reason),
            "namespace": metadata["namespace"],
        },
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
        "reason": event.reason,
        "message": event.message,
        "type": event.type,
        "source": {"component": REPORTER},
        "reportingComponent": REPORTER,
        "firstTimestamp": _whole_seconds(at),
        **again(event, count, at),
    }


def again(event: Event, count: int, at: datetime) -> Manifest:
    """Return the fields that change when an Event is told again."""
    return {"message": event.message, "count": count, "lastTimestamp": _whole_seconds(at)}


def _whole_seconds(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
