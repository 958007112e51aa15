"""What the runs that are there amount to, counted as they come, change and go: nobody has to look at each. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from headwater.resources.conditions import RunState, parse_timestamp
from headwater_operator.events import state_of
from headwater_operator.kinds import Manifest

# A run that nobody has looked at for so long tells that the operator is stuck, or deaf.
UNOBSERVED_SECONDS = 30.0

# Of all that are of no Flow: whoever makes runs may write any name there, and labels are kept for ever.
NO_FLOW = ""


@dataclass(frozen=True)
class Census:
    """*runs* are numbers by namespace, flow and state; *unobserved* are runs without any word of the operator's."""

    runs: dict[tuple[str, str, str], int]
    unobserved: int


class Tally:
    """Counts of the runs that a cache holds; right also after a restart, as it is of what is there."""

    def __init__(self) -> None:
        self._runs: Counter[tuple[str, str, str]] = Counter()
        self._fresh: dict[str, str] = {}  # since when, by uid, those are there that nobody has looked at

    def add(self, run: Manifest) -> None:
        """Count a run by its state; one that has no state yet is Scheduled."""
        state = _state(run)
        self._runs[_place(run, state)] += 1
        if state is RunState.SCHEDULED:
            self._fresh[run["metadata"]["uid"]] = run["metadata"]["creationTimestamp"]

    def take(self, run: Manifest) -> None:
        """Count a run no more; it is as it was when it was added."""
        place = _place(run, _state(run))
        self._runs[place] -= 1
        if not self._runs[place]:
            del self._runs[place]
        self._fresh.pop(run["metadata"]["uid"], None)

    def census(self, is_flow: Callable[[str, str], bool], now: datetime) -> Census:
        """Sum up. *is_flow* tells whether there is a Flow, by namespace and name."""
        counts: Counter[tuple[str, str, str]] = Counter()
        for (namespace, flow, state), count in self._runs.items():
            counts[(namespace, flow if is_flow(namespace, flow) else NO_FLOW, state)] += count
        # As texts, which are alike and in whole seconds: there are many when the operator is stuck.
        since = f"{now - timedelta(seconds=UNOBSERVED_SECONDS):%Y-%m-%dT%H:%M:%SZ}"
        return Census(dict(counts), sum(made < since for made in self._fresh.values()))


def _state(run: Manifest) -> RunState:
    return state_of(run)[0] or RunState.SCHEDULED


def _place(run: Manifest, state: RunState) -> tuple[str, str, str]:
    return run["metadata"]["namespace"], run["spec"]["flow"], str(state)


def seconds_between(start: str | None, end: str | None) -> float | None:
    """The time between two timestamps, at least 0; None where one is not there."""
    if start is None or end is None:
        return None
    return max(0.0, (parse_timestamp(end) - parse_timestamp(start)).total_seconds())
