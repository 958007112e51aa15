"""What people want of a run that is under way, as its spec says it: to cancel it, and what they decide about tasks.

Pure: a spec becomes wishes, and a wish with a run becomes events for the engine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from headwater.core.states import Failed, Skipped, State, Success
from headwater.engine.events import UNMAPPED, Given, PauseAnswered, TaskMarked
from headwater.engine.intervene import why_not_marked
from headwater.engine.plan import Plan
from headwater.engine.run import Key, Run
from headwater.resources.conditions import RunState, find

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
    """*cancel* says who wants the run to be cancelled, "" while nobody does."""

    cancel: str = ""
    decisions: tuple[Decision, ...] = ()
    grant: Grant = Grant()


def wishes_of(run: Mapping[str, Any]) -> Wishes:
    """Read a FlowRun. The operator's Cancelling counts too: the run of which this one is a part is cancelled."""
    spec = run.get("spec", {})
    condition = find(run.get("status", {}).get("conditions", []), "Succeeded") or {"reason": ""}
    cancel = "spec.cancel asks for it" if spec.get("cancel") else ""
    if not cancel and condition["reason"] == RunState.CANCELLING:
        cancel = "the run that started it is cancelled"
    return Wishes(cancel, decisions_of(spec.get("decisions") or []), grant_of(run.get("status", {})))


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
            given[task] = Given(decision.state)
        elif plan.tasks[task].mapped and (task not in given or given[task].children is not None):
            before = given[task].children if task in given else None
            given[task] = Given(Success(), children={**(before or {}), decision.map_index: Given(decision.state)})
    return given


class Desk:
    """Which decisions of a run are carried out; each entry of spec.decisions counts once.

    A list that is replaced by another is told by what it holds, not by its places: an entry that stays is the same.
    An answer to a mapped task as a whole is one to each of its children. Marks among *given* were carried out before
    the run began.
    """

    def __init__(self, run: Run, given: tuple[Decision, ...] = ()) -> None:
        self._run = run
        self._decisions = given
        self._done = Counter(decision for decision in given if given_by(run.plan, (decision,)))
        self._answered: set[tuple[Decision, Key]] = set()

    def put(self, decisions: tuple[Decision, ...]) -> None:
        self._decisions = decisions

    @property
    def waits(self) -> bool:
        """Whether there are decisions that may be carried out later."""
        return bool(self._decisions) and bool(self.open)

    @property
    def open(self) -> list[Decision]:
        """Those that are to be carried out, or wait for their task."""
        left, found = Counter(self._done), []
        for decision in self._decisions:
            if left[decision]:
                left[decision] -= 1
            else:
                found.append(decision)
        return found

    def next(self, now: float) -> tuple[PauseAnswered | TaskMarked | None, str]:
        """Return an event that a decision leads to now; or why one leads to nothing, "" when none is due."""
        for decision in self.open:
            task = task_called(self._run.plan, decision.task)
            if task is None:
                self._done[decision] += 1
                names = ", ".join(plan.slug for plan in self._run.plan.tasks if plan.parameter is None)
                return None, f'{decision.words}: there is no one task "{decision.task}"; the flow has {names}'
            found = self._mark(decision, task, now) if decision.decision in MARKS else self._answer(decision, task, now)
            if found is not None:
                return found
        return None, ""

    def _mark(self, decision: Decision, task: int, now: float) -> tuple[TaskMarked | None, str] | None:
        found = self._run.tasks[task]
        if decision.map_index != UNMAPPED and found.children is None and not found.state.is_finished():
            return None  # it is not known yet how many there are
        self._done[decision] += 1
        refusal = why_not_marked(self._run, task, decision.map_index)
        if refusal:
            return None, f"{decision.words}: {refusal}"
        return TaskMarked(task, now, decision.state, decision.map_index), ""

    def _answer(self, decision: Decision, task: int, now: float) -> tuple[PauseAnswered | None, str] | None:
        found = self._run.tasks[task]
        keys: list[Key] = [(task, decision.map_index)]
        if decision.map_index == UNMAPPED and found.children is not None:
            keys = [(task, index) for index in range(len(found.children))]
        elif decision.map_index != UNMAPPED and not 0 <= decision.map_index < len(found.children or []):
            return None
        for key in keys:
            one = self._run.at(*key)
            if not one.state.is_paused() or (decision, key) in self._answered:
                continue
            if len(keys) == 1:
                self._done[decision] += 1
            else:
                self._answered.add((decision, key))
            reason = f"a person said no{': ' if decision.message else ''}{decision.message}"
            return PauseAnswered(task, one.run_count, now, decision.decision == APPROVE, key[1], reason), ""
        return None
