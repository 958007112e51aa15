"""What could not be made, remembered by who wants it: the next decision tells it, and asks again later."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from headwater_operator.kinds import FLOW_RUN, FLOW_VERSION, POD
from headwater_operator.plans import Refusal
from headwater_operator.queue import WorkKey

# What fails otherwise than by a refusal is mostly over in a moment; after so many times it is told as well.
TOLD_AFTER = 5

# Whatever else an object needs was there when something could be made for it.
LASTING = (POD.name, FLOW_RUN.name, FLOW_VERSION.name)


@dataclass
class _Known:
    uid: str
    refusals: dict[str, Refusal] = field(default_factory=dict)  # by the kind of what is refused
    failures: int = 0
    unsettled: int = 0


class Refusals:
    """By key and, as names are given again, by the uid of the object that wants something made."""

    def __init__(self) -> None:
        self._known: dict[WorkKey, _Known] = {}

    def of(self, key: WorkKey, uid: str, kind: str | None = None) -> Refusal | None:
        """The refusal of a kind, else the one to be told: what comes before the pods is what they wait for."""
        known = self._known.get(key)
        found = known.refusals if known is not None and known.uid == uid else {}
        if kind is not None:
            return found.get(kind)
        return min(found.values(), key=lambda refusal: refusal.kind in LASTING, default=None)

    def note(self, key: WorkKey, uid: str, refusal: Refusal, now: datetime) -> None:
        known = self._of(key, uid)
        known.refusals[refusal.kind] = refusal.put_off(known.refusals.get(refusal.kind), now)

    def failed(self, key: WorkKey, uid: str) -> bool:
        """Count a failure that may be over in a moment; return whether it has lasted so long that it is to be told."""
        known = self._of(key, uid)
        known.failures += 1
        return known.failures >= TOLD_AFTER

    def unsettled(self, key: WorkKey, uid: str) -> bool:
        """The same for what is made again and again."""
        known = self._of(key, uid)
        known.unsettled += 1
        return known.unsettled >= TOLD_AFTER

    def made(self, key: WorkKey, kinds: Iterable[str]) -> None:
        """Something of these kinds was made."""
        known, made = self._known.get(key), set(kinds)
        if known is not None:
            known.failures = 0
            known.refusals = {k: v for k, v in known.refusals.items() if k in LASTING and k not in made}

    def settled(self, key: WorkKey) -> None:
        """Nothing is left to make or to say."""
        known = self._known.get(key)
        if known is not None and not known.refusals:
            del self._known[key]

    def forget(self, key: WorkKey) -> None:
        self._known.pop(key, None)

    def _of(self, key: WorkKey, uid: str) -> _Known:
        known = self._known.get(key)
        if known is None or known.uid != uid:
            known = self._known[key] = _Known(uid)
        return known
