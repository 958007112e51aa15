"""The FlowRun of one time of a Flow's schedule: the same whoever makes it, so that it is made once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from headwater.resources.conditions import timestamp
from headwater.resources.names import API_VERSION, FLOW_LABEL, SCHEDULE_LABEL, scheduled_run_name

LABELS_ANNOTATION = "headwater.dev/labels"


def scheduled_run(flow: Mapping[str, Any], entry: Mapping[str, Any], slot: datetime) -> dict[str, Any]:
    """Return the run of *slot*, a time of *entry* of the flow's schedules. It is the flow's, and goes with it."""
    name = flow["metadata"]["name"]
    owner = {
        "apiVersion": flow["apiVersion"],
        "kind": flow["kind"],
        "name": name,
        "uid": flow["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    metadata: dict[str, Any] = {
        "name": scheduled_run_name(name, entry["name"], slot),
        "namespace": flow["metadata"]["namespace"],
        "labels": {FLOW_LABEL: name, SCHEDULE_LABEL: entry["name"]},
        "ownerReferences": [owner],
    }
    if entry.get("labels"):
        metadata["annotations"] = {LABELS_ANNOTATION: ",".join(entry["labels"])}
    spec: dict[str, Any] = {"flow": name, "scheduledTime": timestamp(slot)}
    if entry.get("parameters"):
        spec["parameters"] = dict(entry["parameters"])
    return {"apiVersion": API_VERSION, "kind": "FlowRun", "metadata": metadata, "spec": spec}
