"""What the simulated API server, its pods and the stories share: constants and pure questions about objects."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from headwater.resources.conditions import find
from headwater.resources.names import CLAIM, FLOW_LABEL, LIMITS, ROLE_LABEL
from headwater_operator.kinds import (
    CONFIG_MAP,
    FLOW,
    FLOW_RUN,
    FLOW_VERSION,
    POD,
    Kind,
    Manifest,
)
from headwater_operator.settings import Settings

Key = tuple[str, str, str]  # kind, namespace, name

BEGIN = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
SETTINGS = Settings(tls=False, keep_runner_seconds=300)
WATCHED = (FLOW, FLOW_VERSION, FLOW_RUN, POD, CONFIG_MAP)
CRDS = Path(__file__).parents[2] / "crds"
PATIENCE_SECONDS = 20.0  # of a pod that is not yet named in its object's status, as in headwater.pod.reporter


def schema_of(kind: Kind) -> Any:
    crd = yaml.safe_load((CRDS / f"{kind.name.lower()}.yaml").read_text())
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def key_of(manifest: Manifest) -> Key:
    return (manifest["kind"], manifest["metadata"]["namespace"], manifest["metadata"]["name"])


def matches(manifest: Manifest, wanted: list[tuple[str, str, str]]) -> bool:
    labels = manifest["metadata"].get("labels", {})
    return all(labels.get(name) == value for name, _, value in wanted)


def is_watched(manifest: Manifest) -> bool:
    """Whether the selectors of the operator's watches let an object pass."""
    labels = manifest["metadata"].get("labels", {})
    if manifest["kind"] == POD.name:
        return FLOW_LABEL in labels
    return manifest["kind"] != CONFIG_MAP.name or labels.get(ROLE_LABEL) in (CLAIM, LIMITS)


def merged(now: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(now) if isinstance(now, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def result_of(manifest: Manifest) -> tuple[str, str] | None:
    condition = find(manifest.get("status", {}).get("conditions", []), "Succeeded")
    return (condition["status"], condition["reason"]) if condition and condition["status"] != "Unknown" else None


def has_ended(pod: Manifest) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def is_live(pod: Manifest) -> bool:
    return not has_ended(pod) and "deletionTimestamp" not in pod["metadata"]


def plays(pod: Manifest, role: str, owner: str) -> bool:
    return pod["metadata"]["labels"].get(ROLE_LABEL) == role and pod["metadata"]["ownerReferences"][0]["uid"] == owner
