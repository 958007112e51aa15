"""Conditions: what the status of every object says of it, for people, kubectl, Helm and GitOps tools.

`Ready`, `Reconciling` and `Stalled` follow the conventions of kstatus: the two abnormal ones exist
only while they are true. A FlowRun has `Succeeded` and `Finished` besides; the reason of
Succeeded is the state of the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class RunState(StrEnum):
    """The state of a flow run: the reason of its Succeeded condition."""

    SCHEDULED = "Scheduled"  # made, not looked at yet
    PENDING = "Pending"  # waits for something that its message names
    QUEUED = "Queued"  # waits for its turn
    SUSPENDED = "Suspended"  # waits until nobody holds it back any more
    SUBMITTED = "Submitted"  # its pods are being started
    RUNNING = "Running"
    PAUSED = "Paused"  # nothing runs until a person lets a task go on
    CANCELLING = "Cancelling"  # what runs is let finish, nothing else begins
    SUCCESS = "Success"
    FAILED = "Failed"
    TIMED_OUT = "TimedOut"
    CRASHED = "Crashed"
    CANCELLED = "Cancelled"  # somebody, or the flow's policy, wanted it to stop
    SKIPPED = "Skipped"  # did not run, and this is right

    @property
    def finished(self) -> bool:
        return self in (
            *(RunState.SUCCESS, RunState.FAILED, RunState.TIMED_OUT, RunState.CRASHED),
            *(RunState.CANCELLED, RunState.SKIPPED),
        )

    @property
    def in_line(self) -> bool:
        """Whether a run of this state is held back: no deadline passes meanwhile."""
        return self in (RunState.QUEUED, RunState.SUSPENDED)


@dataclass(frozen=True)
class Condition:
    """One condition, as decided; the time of its last transition is added when it is written."""

    type: str
    status: Status
    reason: str
    message: str


# In the conditions that the schema gives to a fresh object.
NEVER = "1970-01-01T00:00:00Z"

# A message is for a person: what is longer is shortened, keeping the beginning.
MESSAGE_LENGTH = 2000


def run_conditions(state: RunState, message: str) -> list[Condition]:
    """Return all conditions of a FlowRun in this state. Succeeded has the whole message, with a traceback
    if there is one; the others its first line."""
    brief = message.partition("\n")[0]
    if not state.finished:
        return [
            Condition("Succeeded", Status.UNKNOWN, state, message),
            Condition("Finished", Status.FALSE, state, brief),
            Condition("Ready", Status.FALSE, state, brief),
            Condition("Reconciling", Status.TRUE, state, brief),
        ]
    succeeded = state in (RunState.SUCCESS, RunState.SKIPPED)
    # What was cancelled did not succeed, but nobody has to mend anything.
    settled = succeeded or state is RunState.CANCELLED
    conditions = [
        Condition("Succeeded", Status.TRUE if succeeded else Status.FALSE, state, message),
        Condition("Finished", Status.TRUE, state, brief),
        Condition("Ready", Status.TRUE if settled else Status.FALSE, state, brief),
    ]
    return conditions if settled else [*conditions, Condition("Stalled", Status.TRUE, state, brief)]


def ready(reason: str, message: str) -> list[Condition]:
    """The object is as its spec wants it."""
    return [Condition("Ready", Status.TRUE, reason, message)]


def reconciling(reason: str, message: str) -> list[Condition]:
    """Work is under way."""
    return [
        Condition("Ready", Status.UNKNOWN, reason, message),
        Condition("Reconciling", Status.TRUE, reason, message),
    ]


def held_up(reason: str, message: str) -> list[Condition]:
    """Work goes on, but something is in its way, which may cease to be by itself."""
    return [
        Condition("Ready", Status.FALSE, reason, message),
        Condition("Reconciling", Status.TRUE, reason, message),
    ]


def stalled(reason: str, message: str) -> list[Condition]:
    """Somebody has to do something."""
    return [
        Condition("Ready", Status.FALSE, reason, message),
        Condition("Stalled", Status.TRUE, reason, message),
    ]


def to_manifest(
    conditions: Iterable[Condition], before: Iterable[Mapping[str, Any]], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """Return conditions as they stand in a status; a time changes only with its condition's status."""
    old = {condition["type"]: condition for condition in before}
    result = []
    for new in conditions:
        seen = old.get(new.type)
        changed = seen is None or seen["status"] != new.status or seen["lastTransitionTime"] == NEVER
        message = new.message if len(new.message) <= MESSAGE_LENGTH else new.message[: MESSAGE_LENGTH - 1] + "…"
        result.append(
            {
                "type": new.type,
                "status": str(new.status),
                "reason": str(new.reason),
                "message": message,
                "lastTransitionTime": timestamp(now) if seen is None or changed else seen["lastTransitionTime"],
                "observedGeneration": generation,
            }
        )
    return result


def find(conditions: Iterable[Mapping[str, Any]], type: str) -> Mapping[str, Any] | None:
    """Return the condition of this type, or None."""
    return next((condition for condition in conditions if condition["type"] == type), None)


def timestamp(at: datetime | float) -> str:
    """Return a time as resources hold it: RFC 3339, UTC, microseconds."""
    moment = datetime.fromtimestamp(at, UTC) if isinstance(at, int | float) else at.astimezone(UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_timestamp(text: str) -> datetime:
    """Read what `timestamp` or Kubernetes wrote."""
    return datetime.fromisoformat(text)
