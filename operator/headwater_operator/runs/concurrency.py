"""What may run at a time: a Flow's own limit, and the limits of its namespace that flows share. Pure.

A ConfigMap with the label `headwater.dev/role: limits` holds slots by the name of a limit. Of two that give
the same name the smaller number counts: nothing runs that one of them would not let run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from headwater.resources.names import LIMITS, ROLE_LABEL
from headwater_operator.kinds import Manifest

LARGEST = 1_000_000
DIGITS = 100


class Policy(StrEnum):
    """What becomes of a run for which there is no room."""

    QUEUE = "Queue"  # it waits for its turn
    SKIP = "Skip"  # it ends without running
    REPLACE = "Replace"  # the oldest that is under way makes room


@dataclass(frozen=True)
class Concurrency:
    """What a Flow says of its runs: at most *limit* at a time, each with *slots* of limits by name."""

    limit: int | None = None
    policy: Policy = Policy.QUEUE
    slots: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class BadLimit:
    """A limit that is not what it should be; *message* says which and why."""

    message: str


Limits = Mapping[str, int | BadLimit]


def concurrency_of(flow: Manifest) -> Concurrency | None:
    """Return what a Flow says of its runs, or None when any number may run."""
    spec = flow["spec"].get("concurrency")
    if not spec:
        return None
    slots = {item["name"]: int(item.get("slots", 1)) for item in spec.get("limits", [])}
    return Concurrency(spec.get("limit"), Policy(spec.get("policy", Policy.QUEUE)), slots)


def limits_of(maps: Iterable[Manifest]) -> dict[str, int | BadLimit]:
    """Read the limits of a namespace from its ConfigMaps."""
    found: dict[str, int | BadLimit] = {}
    for config_map in maps:
        for name, text in (config_map.get("data") or {}).items():
            slots = _slots(config_map, name, text)
            known = found.get(name)
            if isinstance(slots, BadLimit) or known is None:
                found[name] = slots
            elif isinstance(known, int):
                found[name] = min(known, slots)
    return found


def _slots(config_map: Manifest, name: str, text: str) -> int | BadLimit:
    # Python reads no number of thousands of digits.
    digits = text.strip()
    if digits.isascii() and digits.isdecimal() and len(digits) < DIGITS and int(digits) <= LARGEST:
        return int(digits)
    place = f'ConfigMap "{config_map["metadata"]["name"]}"'
    return BadLimit(f'limit "{name}" in {place} is "{text[:40]}"; it must be a number of slots, 0 to {LARGEST}')


def missing(name: str, namespace: str) -> BadLimit:
    """Say that no ConfigMap has a limit."""
    return BadLimit(
        f'there is no limit "{name}" in namespace "{namespace}": '
        f"no ConfigMap with the label {ROLE_LABEL}={LIMITS} has it"
    )
