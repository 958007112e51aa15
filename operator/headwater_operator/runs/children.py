"""Which run has started another one. Pure.

A run owns what it has started, but for what may be another's as well: runs with an idempotency key, and those of
another namespace. All have its name on a label.
"""

from __future__ import annotations

from dataclasses import dataclass

from headwater.resources.names import PARENT_LABEL
from headwater_operator.kinds import FLOW_RUN, Manifest


@dataclass(frozen=True)
class Parent:
    """The run that has started another one; without a *uid* any of that name."""

    name: str
    uid: str | None = None


def started_by(run: Manifest) -> Parent | None:
    for owner in run["metadata"].get("ownerReferences", []):
        if owner["kind"] == FLOW_RUN.name:
            return Parent(owner["name"], owner["uid"])
    name = run["metadata"].get("labels", {}).get(PARENT_LABEL)
    return Parent(name) if name else None
