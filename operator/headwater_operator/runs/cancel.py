"""Whether somebody wants a run to stop: by its own spec.cancel, or by that of a run which started it. Pure.

Cancel     the runner lets finish what runs and begins nothing more but what cleans up; what has not begun never does
Terminate  the pods are stopped

A run's wish holds for all that it has started, however deep; their specs are not written for that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from headwater.resources.conditions import RunState, find
from headwater_operator.kinds import FLOW_RUN, Manifest

CANCEL, TERMINATE = "Cancel", "Terminate"

# Runs that start runs that start runs: deeper than this is a mistake somewhere.
DEEPEST = 50


@dataclass(frozen=True)
class Wish:
    """*by* names the run whose spec.cancel it is."""

    cancel: str
    by: str

    @property
    def terminate(self) -> bool:
        return self.cancel == TERMINATE

    def why(self, run: str) -> str:
        """The reason as a run tells it."""
        field = f"spec.cancel: {self.cancel}"
        return field if self.by == run else f"{field} of FlowRun {self.by}, which started it"


def wish_of(run: Manifest, get: Callable[[str], Manifest | None]) -> Wish | None:
    """Return the strongest wish of a run and its ancestors, the nearest first. *get* finds a run by its name."""
    found = None
    seen: Manifest | None = run
    for _ in range(DEEPEST):
        if seen is None:
            break
        cancel = seen["spec"].get("cancel", "")
        if cancel and (found is None or (cancel == TERMINATE and not found.terminate)):
            found = Wish(cancel, seen["metadata"]["name"])
        seen = _parent(seen, get)
    return found


def _parent(run: Manifest, get: Callable[[str], Manifest | None]) -> Manifest | None:
    for owner in run["metadata"].get("ownerReferences", []):
        if owner["kind"] == FLOW_RUN.name:
            found = get(owner["name"])
            return found if found is not None and found["metadata"]["uid"] == owner["uid"] else None
    return None


def concerns_children(run: Manifest) -> bool:
    """Whether a change of a run may be news for those that it has started."""
    condition = find(run.get("status", {}).get("conditions", []), "Succeeded")
    reason = condition["reason"] if condition is not None else ""
    return bool(run["spec"].get("cancel")) or reason in (RunState.CANCELLING, RunState.CANCELLED)
