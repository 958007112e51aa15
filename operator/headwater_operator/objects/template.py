"""Lay a user's podTemplate over the operator's pod."""

from __future__ import annotations

from typing import Any

from headwater.core.errors import FlowError


class TemplateError(FlowError):
    """A podTemplate has not the shape of a pod."""


# Lists whose items are known by a key; an item of a known key is merged, another is added.
_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "ports": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
}


def overlay(base: Any, over: Any, field: str = "") -> Any:
    """Return *base* with *over* laid on it: maps field by field, named lists item by item, the rest replaced.

    A null takes a field away.
    """
    if isinstance(base, dict) and isinstance(over, dict):
        merged = dict(base)
        for key, value in over.items():
            if value is None:
                merged.pop(key, None)
            else:
                merged[key] = overlay(merged[key], value, key) if key in merged else value
        return merged
    if field in _KEYS and isinstance(base, list) and isinstance(over, list):
        return _overlay_items(base, over, _KEYS[field])
    if field == "tolerations" and isinstance(base, list) and isinstance(over, list):
        return base + [item for item in over if item not in base]
    return over


def _overlay_items(base: list[Any], over: list[Any], key: str) -> list[Any]:
    merged = list(base)
    place = {item.get(key): i for i, item in enumerate(base)}
    for item in over:
        i = place.get(item.get(key)) if isinstance(item, dict) else None
        if i is None:
            merged.append(item)
        else:
            merged[i] = overlay(merged[i], item)
    return merged
