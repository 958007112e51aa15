"""What people want of a run that is under way, as its spec says it: to cancel it, and what they decide about tasks.

Pure: a spec becomes wishes; `desk` makes events for the engine of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from headwater.core.states import Failed, Skipped, State, Success
from headwater.engine.events import UNMAPPED, Given
from headwater.engine.plan import Plan
from headwater.resources.conditions import RunState, find
from headwater.results.address import NOTHING, Address

APPROVE, REJECT = "Approve", "Reject"
MARKS: dict[str, type[State]] = {"Success": Success, "Failed": Failed, "Skipped": Skipped}


@dataclass(frozen=True)
class Decision:
    """What a person says of one task: *decision* is Approve or Reject for one that is paused, else how it ends."""

    task: str
    decision: str
    map_index: int = UNMAPPED
    message: str = ""

    @property
    def words(self) -> str:
        child = "" if self.map_index == UNMAPPED else f"[{self.map_index}]"
        return f"{self.decision} {self.task}{child}"

    @property
    def state(self) -> State:
        """The state that a mark leads to."""
        return MARKS[self.decision](self.message or f"Marked as {self.decision} by a person.")

    @property
    def stored(self) -> Address | None:
        """Where the result of a mark is: who reads it gets None, in a run that goes on from this one too."""
        return NOTHING if self.decision == "Success" else None


@dataclass(frozen=True)
class Grant:
    """The slots of limited tags that the operator gives; of two the one with the higher *serial* is the newer.

    *words* say what the limits of the tags are.
    """

    serial: int = 0
    slots: tuple[tuple[str, int], ...] = ()
    words: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Wishes:
    """*cancel* says who wants the run to be cancelled, "" while nobody does; *generation* is that of the spec."""

    cancel: str = ""
    decisions: tuple[Decision, ...] = ()
    grant: Grant = Grant()
    generation: int = 0


def wishes_of(run: Mapping[str, Any]) -> Wishes:
    """Read a FlowRun. The operator's Cancelling counts too: the run of which this one is a part is cancelled."""
    spec = run.get("spec", {})
    condition = find(run.get("status", {}).get("conditions", []), "Succeeded") or {"reason": ""}
    cancel = "spec.cancel asks for it" if spec.get("cancel") else ""
    if not cancel and condition["reason"] == RunState.CANCELLING:
        cancel = "the run that started it is cancelled"
    generation = int(run.get("metadata", {}).get("generation", 0))
    return Wishes(cancel, decisions_of(spec.get("decisions") or []), grant_of(run.get("status", {})), generation)


def grant_of(status: Mapping[str, Any]) -> Grant:
    """Read status.taskLimits."""
    found = status.get("taskLimits") or {}
    tags = found.get("tags") or []
    return Grant(
        int(found.get("serial", 0)),
        tuple((entry["name"], int(entry["granted"])) for entry in tags),
        tuple((entry["name"], entry.get("message", "")) for entry in tags),
    )


def decisions_of(entries: Iterable[Mapping[str, Any]]) -> tuple[Decision, ...]:
    """Read spec.decisions; what a newer API server may know and this runner does not is left out."""
    known = (APPROVE, REJECT, *MARKS)
    return tuple(
        Decision(entry["task"], entry["decision"], int(entry.get("mapIndex", UNMAPPED)), entry.get("message", ""))
        for entry in entries
        if entry.get("decision") in known
    )


def task_called(plan: Plan, name: str) -> int | None:
    """Return the task of this slug, or the only one of this name."""
    if name in plan.slugs:
        return plan.slugs[name]
    named = [number for number, task in enumerate(plan.tasks) if task.name == name]
    return named[0] if len(named) == 1 else None


def given_by(plan: Plan, decisions: tuple[Decision, ...]) -> dict[int, Given]:
    """Return what is marked before the run begins, as what was finished already."""
    given: dict[int, Given] = {}
    for decision in decisions:
        task = task_called(plan, decision.task)
        if task is None or decision.decision not in MARKS or plan.tasks[task].parameter is not None:
            continue
        if decision.map_index == UNMAPPED:
            given[task] = Given(decision.state, stored=decision.stored)
        elif plan.tasks[task].mapped and (task not in given or given[task].children is not None):
            before = given[task].children if task in given else None
            one = Given(decision.state, stored=decision.stored)
            given[task] = Given(Success(), children={**(before or {}), decision.map_index: one})
    return given
