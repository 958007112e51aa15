"""Idempotency keys: what was executed once under a key is not executed again. Pure.

When a run with a key ends, its state is written into a ConfigMap of the Flow's, named after flow and key, before
the run itself says so: whatever happens to the run then, its result is known. A run that is made with that
key later goes straight to that state. A run of which no task began leaves no claim: it may be made again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from headwater.resources import names
from headwater.resources.conditions import RunState, find
from headwater_operator.kinds import Manifest
from headwater_operator.objects.metadata import metadata

# Kept for each flow; of more, the oldest go.
CLAIMS_KEPT = 1000


@dataclass(frozen=True)
class Claim:
    """How the run of a key ended."""

    run: str
    state: RunState
    message: str
    finished_at: str


def key_of(run: Manifest) -> str | None:
    """The run's key; an empty one counts as none."""
    return run["spec"].get("idempotencyKey") or None


def claim_map(*, run: Manifest, flow: Manifest, state: RunState, message: str, finished_at: str) -> Manifest:
    """The ConfigMap that keeps how the run of a key ended, as long as the Flow is there."""
    key = key_of(run)
    assert key is not None, "only a run with a key has a claim"
    name = flow["metadata"]["name"]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(
            name=names.claim_name(name, key), owner=flow, role=names.CLAIM, labels={names.FLOW_LABEL: name}
        ),
        "immutable": True,
        "data": {
            "key": key,
            "run": run["metadata"]["name"],
            "state": str(state),
            "message": message,
            "finishedAt": finished_at,
        },
    }


def read_claim(found: Manifest) -> Claim | None:
    """Read a claim; None when somebody has made something else of it."""
    data = found.get("data") or {}
    if data.get("state") not in {str(state) for state in RunState if state.finished}:
        return None
    return Claim(
        str(data.get("run", "")), RunState(data["state"]), str(data.get("message", "")), str(data.get("finishedAt", ""))
    )


def rivals(runs: Iterable[Manifest], holding: AbstractSet[str]) -> Mapping[str, str]:
    """By the uids of those that have one: the name of an unfinished run of the same key that goes before.

    *runs* are all of a flow. It goes before that has begun, and else the oldest.
    """
    twins: dict[str, list[Manifest]] = defaultdict(list)
    for run in runs:
        key = key_of(run)
        if key is not None and not _is_finished(run):
            twins[key].append(run)
    found: dict[str, str] = {}
    for group in twins.values():
        first, *others = sorted(group, key=_age)
        found |= {other["metadata"]["uid"]: first["metadata"]["name"] for other in others}
        begun = next(
            (each for each in others if each["metadata"]["uid"] in holding or "attempt" in each.get("status", {})), None
        )
        if begun is not None:
            found[first["metadata"]["uid"]] = begun["metadata"]["name"]
    return found


def surplus(claims: Iterable[Manifest]) -> list[str]:
    """The names of the claims of a flow that are too old to be kept."""
    by_age = sorted(claims, key=_age, reverse=True)
    return sorted(claim["metadata"]["name"] for claim in by_age[CLAIMS_KEPT:])


def _age(manifest: Manifest) -> tuple[str, str]:
    return (manifest["metadata"]["creationTimestamp"], manifest["metadata"]["name"])


def _is_finished(run: Manifest) -> bool:
    condition = find(run.get("status", {}).get("conditions", []), "Succeeded")
    return condition is not None and condition["status"] != "Unknown"
