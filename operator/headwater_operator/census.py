"""What the runs that are there amount to, counted whenever somebody asks: right also after a restart. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from headwater.resources.conditions import RunState, parse_timestamp
from headwater_operator.events import state_of
from headwater_operator.kinds import Manifest

# A run that nobody has looked at for so long tells that the operator is stuck, or deaf.
UNOBSERVED_SECONDS = 30.0


@dataclass(frozen=True)
class Census:
    """*runs* are numbers by namespace, flow and state; *unobserved* are runs without any word of the operator's."""

    runs: dict[tuple[str, str, str], int]
    unobserved: int


def census(runs: Iterable[Manifest], now: datetime) -> Census:
    """Count runs by state; one that has no state yet is Scheduled."""
    counts: Counter[tuple[str, str, str]] = Counter()
    unobserved = 0
    for run in runs:
        state = state_of(run)[0] or RunState.SCHEDULED
        counts[(run["metadata"]["namespace"], run["spec"]["flow"], str(state))] += 1
        unobserved += state is RunState.SCHEDULED and _age_seconds(run, now) > UNOBSERVED_SECONDS
    return Census(dict(counts), unobserved)


def _age_seconds(run: Manifest, now: datetime) -> float:
    return (now - parse_timestamp(run["metadata"]["creationTimestamp"])).total_seconds()


def seconds_between(start: str | None, end: str | None) -> float | None:
    """The time between two timestamps, at least 0; None where one is not there."""
    if start is None or end is None:
        return None
    return max(0.0, (parse_timestamp(end) - parse_timestamp(start)).total_seconds())
