"""Whose turn it is: runs in line, by priority and then by age, and the limits that they wait for. Pure.

    places   runs that could begin, if there is room        holding   runs that have begun, by flow
       │                                                       │
       └────────> in order, each takes what is free <──────────┘
                  of what one of them needs, nobody behind it gets any: nobody is overtaken

So two runs never both take the last slot, in whatever order they are looked at: each sees the same line.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property

from headwater.resources.conditions import RunState
from headwater_operator.kinds import Manifest
from headwater_operator.runs.concurrency import BadLimit, Concurrency, Limits, Policy, missing

# Of how many that are before it a run tells the number: else each end of a run would change what all others say.
COUNTED = 5


@dataclass(frozen=True)
class Place:
    """A run in line."""

    uid: str
    name: str
    flow: str
    created_at: str
    priority: int = 0

    @property
    def order(self) -> tuple[int, str, str]:
        return (-self.priority, self.created_at, self.name)

    @property
    def age(self) -> tuple[str, str]:
        return (self.created_at, self.name)


@dataclass(frozen=True)
class Go:
    """It may begin."""


@dataclass(frozen=True)
class Stay:
    """It waits: *message* says for what. *broken*: for somebody to mend a limit."""

    message: str
    broken: bool = False


@dataclass(frozen=True)
class Line:
    """All that want slots in a namespace and all that have some; *contenders* are the runs of flows with the policy
    Replace that are under way, and those that could begin: for these the oldest make room."""

    namespace: str
    concurrency: Mapping[str, Concurrency]
    limits: Limits = field(default_factory=dict)
    places: tuple[Place, ...] = ()
    holding: Mapping[str, AbstractSet[str]] = field(default_factory=dict)
    contenders: tuple[Place, ...] = ()

    @cached_property
    def told(self) -> Mapping[str, Go | Stay]:
        """What each that has a place is told, by its uid."""
        return _walk(self)


@dataclass(frozen=True)
class Leave:
    """It ends without having begun."""

    state: RunState
    message: str


Turn = Go | Stay | Leave


def place_of(run: Manifest) -> Place:
    metadata, spec = run["metadata"], run["spec"]
    return Place(
        metadata["uid"], metadata["name"], spec["flow"], metadata["creationTimestamp"], int(spec.get("priority", 0))
    )


def turn(place: Place, line: Line) -> Turn:
    """Say whether a run that could begin may do so now."""
    concurrency = line.concurrency.get(place.flow)
    if concurrency is None or place.uid in line.holding.get(place.flow, ()):
        return Go()
    by = replaced_by(place, line)
    if by is not None:
        return Leave(RunState.CANCELLED, replaced_words(by))
    # Who has no place is one of several that wait to replace the same run, or does not ask as it cannot begin.
    answer = line.told.get(place.uid) or Stay(f'a newer run of Flow "{place.flow}" is before it')
    if isinstance(answer, Stay) and concurrency.policy is Policy.SKIP and not answer.broken:
        return Leave(RunState.SKIPPED, f"skipped: {answer.message.partition(';')[0]}")
    return answer


def replaced_by(place: Place, line: Line) -> str | None:
    """Return the name of the run that takes this one's place, where the flow's policy is Replace."""
    concurrency = line.concurrency.get(place.flow)
    if concurrency is None or concurrency.policy is not Policy.REPLACE or concurrency.limit is None:
        return None
    holding = line.holding.get(place.flow, ())
    newer = [other for other in line.contenders if other.flow == place.flow and other.age > place.age]
    # Nobody stops for a run that could not begin then either, or because the limit was made smaller.
    asking = [] if bad_limit(place.flow, line) else [other for other in newer if other.uid not in holding]
    under_way = [other for other in newer if other.uid in holding]
    if len(under_way) + len(asking) < concurrency.limit or (place.uid in holding and not asking):
        return None
    return min(asking or under_way, key=lambda other: other.age).name


def replaced_words(by: str) -> str:
    return f"replaced by run {by}"


def bad_limit(flow: str, line: Line) -> str | None:
    """Say what is wrong with a limit by name that a flow's runs take slots of; None when nothing is."""
    concurrency = line.concurrency.get(flow)
    for name, slots in concurrency.slots.items() if concurrency is not None else ():
        limit = line.limits.get(name) if name in line.limits else missing(name, line.namespace)
        if isinstance(limit, BadLimit):
            return limit.message
        assert limit is not None
        if slots > limit:
            return f'limit "{name}" has {limit} slots in all, and a run of Flow "{flow}" needs {slots}'
    return None


def _walk(line: Line) -> dict[str, Go | Stay]:
    """Let all in line take what they need, in order."""
    ledger = _Ledger(line)
    told: dict[str, Go | Stay] = {}
    for place in sorted(_in_line(line), key=lambda place: place.order):
        lack = ledger.lack(place)
        told[place.uid] = Go() if lack is None else lack
        if lack is None:
            ledger.take(place)
        elif not lack.broken:
            ledger.wait(place)
    return told


def _in_line(line: Line) -> list[Place]:
    """Of a flow with the policy Replace only the newest have a place."""
    found: list[Place] = []
    by_flow: dict[str, list[Place]] = defaultdict(list)
    for place in line.places:
        by_flow[place.flow].append(place)
    for flow, places in by_flow.items():
        concurrency = line.concurrency.get(flow)
        if concurrency is not None and concurrency.policy is Policy.REPLACE and concurrency.limit is not None:
            places = sorted(places, key=lambda place: place.age, reverse=True)[: concurrency.limit]
        found += places
    return found


class _Ledger:
    """What is taken, and what is waited for, while the line is walked along."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._active = Counter({flow: len(uids) for flow, uids in line.holding.items()})
        self._used: Counter[str] = Counter()
        for flow, active in self._active.items():
            for name, slots in self._slots(flow).items():
                self._used[name] += slots * active
        self._waiting: Counter[str] = Counter()  # by flow
        self._wanting: Counter[str] = Counter()  # by limit
        self._closed: set[str] = set()

    def _slots(self, flow: str) -> Mapping[str, int]:
        concurrency = self._line.concurrency.get(flow)
        return concurrency.slots if concurrency is not None else {}

    def take(self, place: Place) -> None:
        self._active[place.flow] += 1
        for name, slots in self._slots(place.flow).items():
            self._used[name] += slots

    def wait(self, place: Place) -> None:
        """All that it needs is kept for it, also what is free now: else others take that in turns, and it never has
        all of it. Who waits for its own flow keeps nothing: a run of that frees what the next one needs."""
        self._waiting[place.flow] += 1
        if not self._is_full(place.flow):
            self._closed |= self._slots(place.flow).keys()
            self._wanting.update(self._slots(place.flow).keys())

    def lack(self, place: Place) -> Stay | None:
        """Say what a run lacks, or None when there is room for it."""
        broken = bad_limit(place.flow, self._line)
        if broken is not None:
            return Stay(broken, broken=True)
        if self._is_full(place.flow):
            return Stay(f"{self._full_words(place.flow)}; {_before(self._waiting[place.flow])}")
        for name, slots in self._slots(place.flow).items():
            if self._lacks(name, slots):
                needed = f", and {slots} are needed" if slots > 1 else ""
                taken = f"{self._used[name]} of {self._line.limits[name]} slots"
                return Stay(f'{taken} of limit "{name}" are taken{needed}; {_before(self._wanting[name])}')
        return None

    def _is_full(self, flow: str) -> bool:
        concurrency = self._line.concurrency.get(flow)
        limit = concurrency.limit if concurrency is not None else None
        return limit is not None and self._active[flow] >= limit

    def _full_words(self, flow: str) -> str:
        concurrency, active = self._line.concurrency[flow], self._active[flow]
        are = "is" if active == 1 else "are"
        words = f'{active} of {concurrency.limit} runs of Flow "{flow}" {are} active'
        return f"{words}, and the oldest is being stopped" if concurrency.policy is Policy.REPLACE else words

    def _lacks(self, name: str, slots: int) -> bool:
        limit = self._line.limits.get(name)
        return name in self._closed or not isinstance(limit, int) or self._used[name] + slots > limit


def _before(count: int) -> str:
    if count == 0:
        return "it is next"
    return (
        f"more than {COUNTED} are before it"
        if count > COUNTED
        else f"{count} {'is' if count == 1 else 'are'} before it"
    )
