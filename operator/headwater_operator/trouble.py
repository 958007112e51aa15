"""What keeps an object from being as its spec wants it, and may cease to by itself. Pure.

It is Reconciling first, so that whoever waits goes on waiting, and Stalled once it has lasted, as somebody is to look.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from headwater.resources.conditions import Condition, find, held_up, parse_timestamp, stalled

LASTING_SECONDS = 120.0


def trouble(reason: str, message: str, before: Iterable[Mapping[str, Any]], now: datetime) -> list[Condition]:
    """Return the conditions; those *before* tell since when it is so."""
    lasts = _has_lasted(reason, list(before), now)
    return stalled(reason, message) if lasts else held_up(reason, message)


def _has_lasted(reason: str, before: list[Mapping[str, Any]], now: datetime) -> bool:
    if _is(reason, find(before, "Stalled"), "True"):
        return True
    ready, reconciling = find(before, "Ready"), find(before, "Reconciling")
    if not _is(reason, ready, "False") or not _is(reason, reconciling, "True"):
        return False
    assert ready is not None
    assert reconciling is not None
    # One of the two is as old as the trouble, whatever was said before.
    since = max(parse_timestamp(condition["lastTransitionTime"]) for condition in (ready, reconciling))
    return (now - since).total_seconds() >= LASTING_SECONDS


def _is(reason: str, condition: Mapping[str, Any] | None, status: str) -> bool:
    return condition is not None and (condition["status"], condition["reason"]) == (status, reason)
