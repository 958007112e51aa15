"""Which Kubernetes Events a change is worth: facts before and after it give values. Pure; `recorder` writes them.

A run's Events have its states as reasons, so that status, metrics and Events use one word. Of an object there is one
Event for each reason, with a count and the newest message.

    FlowRun   Pending Queued Suspended      it does not run, and why; only if that lasts
              Running                       its tasks have begun; a run that is over at once is told by its end alone
              Paused Cancelling             somebody is to act, or has
              WorkerReplaced                a worker was lost, how, and which one takes its place
              Success Failed TimedOut Crashed Cancelled Skipped
    Flow      VersionMade VersionCurrent    also when a rollback makes an old one current again
              MissedTimes RunRefused        of its schedules
              and the reason of its Ready condition while that is False
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from headwater.resources.conditions import RunState, find
from headwater_operator.kinds import FLOW, FLOW_RUN, Kind, Manifest

NORMAL = "Normal"
WARNING = "Warning"

# `kubectl get events` shows a line of it.
MESSAGE_LENGTH = 1000

# A run that waits so briefly is not worth an Event.
SETTLE_SECONDS = 3.0

# States that say why a run does not run, and may be over before anybody has read it.
WAITING = (RunState.PENDING, RunState.QUEUED, RunState.SUSPENDED)
# From these a run does not begin to run, it goes on.
UNDER_WAY = (RunState.RUNNING, RunState.PAUSED, RunState.CANCELLING)
SILENT = (RunState.SCHEDULED, RunState.SUBMITTED)
STATES = {str(state): state for state in RunState}
WARNINGS = (RunState.PENDING, RunState.FAILED, RunState.TIMED_OUT, RunState.CRASHED)


@dataclass(frozen=True)
class Event:
    """Something that happened to an object. Not told at all where `changed` is true again within *settle_seconds*."""

    reason: str
    message: str
    type: str = NORMAL
    settle_seconds: float = 0.0


def told(
    kind: Kind, before: Manifest, after: Manifest, get: Callable[[str], Manifest | None] = lambda _: None
) -> tuple[Event, ...]:
    """Return what a written status is worth; none where only counts and times have changed. *get* finds a FlowVersion
    of the namespace by its name."""
    if kind is FLOW_RUN:
        return _of_run(before.get("status", {}), after)
    if kind is FLOW:
        return _of_flow(before.get("status", {}), after.get("status", {}), get)
    return ()


def changed(kind: Kind, before: Manifest, after: Manifest) -> bool:
    """Whether an object is in another state now, so that what it waited for is over; also where that is not told."""
    return kind is FLOW_RUN and state_of(before)[0] is not state_of(after)[0]


def ended(before: Manifest, after: Manifest) -> RunState | None:
    """Return the final state of a run that this change has ended, else None."""
    was, now = state_of(before)[0], state_of(after)[0]
    return now if now is not None and now.finished and was is not now else None


def state_of(run: Manifest) -> tuple[RunState | None, str]:
    """Return a run's state, None before there is one, and the first line of why."""
    condition = find(run.get("status", {}).get("conditions", []), "Succeeded")
    state = STATES.get(condition["reason"]) if condition is not None else None
    return (state, brief(condition["message"])) if condition is not None and state is not None else (None, "")


def brief(message: str) -> str:
    """The first line of a message, not too long."""
    line = message.partition("\n")[0]
    return line if len(line) <= MESSAGE_LENGTH else line[: MESSAGE_LENGTH - 1] + "…"


def _of_run(was: dict[str, Any], run: Manifest) -> tuple[Event, ...]:
    old, old_words = state_of({"status": was})
    new, words = state_of(run)
    if new is None or new in SILENT:
        return ()
    # Places in line change all the time, what a pod waits for does not.
    if new is old and not (new is RunState.PENDING and words != old_words):
        return ()
    if new is RunState.RUNNING:
        if old in UNDER_WAY:
            return ()
        version, attempt = run["status"].get("version", {}), run["status"].get("attempt", {})
        words = f"{version.get('name', words)} runs in pod {attempt['podName']}" if attempt else words
    settle = SETTLE_SECONDS if new in WAITING else 0.0
    return (Event(str(new), words, WARNING if new in WARNINGS else NORMAL, settle),)


def _of_flow(was: dict[str, Any], status: dict[str, Any], get: Callable[[str], Manifest | None]) -> tuple[Event, ...]:
    return (*_current(was.get("currentVersion"), status.get("currentVersion"), get), *_in_trouble(was, status))


def _current(
    old: dict[str, Any] | None, new: dict[str, Any] | None, get: Callable[[str], Manifest | None]
) -> tuple[Event, ...]:
    if new is None or (old is not None and old["name"] == new["name"]):
        return ()
    # A version that was current says that it is not any more; one that never was says nothing.
    gave_way = (get(new["name"]) or {}).get("status", {}).get("current") is False
    again = gave_way or (old is not None and new["number"] < old["number"])
    return (Event("VersionCurrent", f"{new['name']} is current{' again' if again else ''}"),)


def _in_trouble(was: dict[str, Any], status: dict[str, Any]) -> tuple[Event, ...]:
    """Ready is False where it is Stalled, or held up by something that may cease to by itself."""
    old, new = (find(of.get("conditions", []), "Ready") for of in (was, status))
    if new is None or new["status"] != "False":
        return ()
    if old is not None and (old["status"], old["reason"], old["message"]) == ("False", new["reason"], new["message"]):
        return ()
    return (Event(new["reason"], brief(new["message"]), WARNING),)
