"""What makes a version: the hash over all that decides what runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from headwater.resources.names import RESOLVE_ANNOTATION, RESOLVE_LENGTH

# What outlives versions (schedules, limits, history) is not among them.
VERSIONED_FIELDS = (
    "image",
    "entrypoint",
    "source",
    "parameters",
    "execution",
    "serviceAccountName",
    "startDeadlineSeconds",
    "timeoutSeconds",
)
HASH_LENGTH = 16


def versioned(spec: Mapping[str, Any], default_image: str, wish: str = "") -> dict[str, Any]:
    """Return the part of a Flow's spec that a FlowVersion freezes; *wish* is what `resolve_wish` tells of the Flow."""
    frozen = {field: spec[field] for field in VERSIONED_FIELDS if spec.get(field) is not None}
    frozen.setdefault("image", default_image)
    return {**frozen, "resolveImage": wish} if wish else frozen


def resolve_wish(flow: Mapping[str, Any]) -> str:
    """Return the text of a Flow's annotation that asks for its image's tag to be looked up, "" without one."""
    return str((flow["metadata"].get("annotations") or {}).get(RESOLVE_ANNOTATION, ""))[:RESOLVE_LENGTH]


def spec_hash(frozen: Mapping[str, Any]) -> str:
    """Return a label-safe hash; equal for equal content, whatever the order of keys."""
    text = json.dumps(frozen, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_LENGTH]
