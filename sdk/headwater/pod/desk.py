"""What people have decided about the tasks of one run, and what of it is carried out. Pure: it returns events.

An answer is for a task run that is paused, now or later; a mark is carried out at once, of a child as soon as it is
known how many there are. What leads nowhere is told in words.
"""

from __future__ import annotations

from collections import Counter, deque

from headwater.engine.events import UNMAPPED, Event, PauseAnswered, RunBegan, RunCancelled, TaskEnded, TaskMarked
from headwater.engine.intervene import why_not_marked
from headwater.engine.run import Key, Run
from headwater.pod.wishes import APPROVE, MARKS, Decision, given_by, task_called

Found = tuple[PauseAnswered | TaskMarked | None, str]


class Desk:
    """Which decisions of a run are carried out; each entry of spec.decisions counts once.

    A list that is replaced by another is told by what it holds, not by its places: an entry that stays is the same, and
    one that was taken out and is there again is another. An answer to a mapped task as a whole is one to each of its
    children. Marks among *given* were carried out before the run began.

    There may be very many children: an event costs a look at its own task run, and at the open decisions only when a
    task has ended or something is paused.
    """

    def __init__(self, run: Run, given: tuple[Decision, ...] = ()) -> None:
        self._run = run
        self._done = Counter(decision for decision in given if given_by(run.plan, (decision,)))
        self._answered: dict[Decision, set[Key]] = {}
        self._paused: dict[int, dict[int, None]] = {}  # by task, in the order of their pauses
        self._due: deque[Key] = deque()
        self._open: list[Decision] = []
        self._unfinished = run.unfinished
        self._look = False
        self.put(given)

    def put(self, decisions: tuple[Decision, ...]) -> None:
        """Take in the list as it is now."""
        held = Counter(decisions)
        self._done &= held
        self._answered = {decision: keys for decision, keys in self._answered.items() if decision in held}
        left, self._open = Counter(self._done), []
        for decision in decisions:
            if left[decision]:
                left[decision] -= 1
            else:
                self._open.append(decision)
        asked = {task_called(self._run.plan, decision.task) for decision in self._open}
        self._due = deque((task, index) for task in asked if task is not None for index in self._paused.get(task, ()))
        self._look = bool(self._open)

    def saw(self, event: Event) -> None:
        """Take notice of an event that the run has taken in."""
        if isinstance(event, RunBegan | RunCancelled):
            self._look = bool(self._open)
            return
        key = (event.task, event.map_index)
        paused = self._paused.get(event.task)
        if isinstance(event, TaskEnded) and event.state.is_paused():
            self._paused.setdefault(event.task, {})[event.map_index] = None
            if self._open:
                self._due.append(key)
        elif paused is not None and not self._is_paused(key):
            paused.pop(event.map_index, None)
        # Else no task has ended or got its children.
        if self._open and (event.map_index == UNMAPPED or self._run.unfinished != self._unfinished):
            self._unfinished, self._look = self._run.unfinished, True

    @property
    def is_due(self) -> bool:
        """Whether `next` may have something to say."""
        return bool(self._due) or self._look

    def next(self, now: float) -> Found:
        """Return an event that a decision leads to now; or why one leads to nothing, "" when none is due."""
        while self._due:
            answer = self._answer(self._due.popleft(), now)
            if answer is not None:
                return answer, ""
        if self._look:
            found = next((found for found in (self._tried(one, now) for one in list(self._open)) if found), None)
            if found is not None:
                return found
            self._look = False
        return None, ""

    def _is_paused(self, key: Key) -> bool:
        try:
            return self._run.at(*key).state.is_paused()
        except IndexError:
            return False

    def _answer(self, key: Key, now: float) -> PauseAnswered | None:
        """Answer a task run that is paused by the first decision that is for it."""
        if not self._is_paused(key):
            return None
        for decision in self._open:
            if decision.decision in MARKS or task_called(self._run.plan, decision.task) != key[0]:
                continue
            if decision.map_index == key[1]:
                self._close(decision)
            elif decision.map_index == UNMAPPED and key not in self._answered.get(decision, ()):
                self._answered.setdefault(decision, set()).add(key)
            else:
                continue
            reason = f"a person said no{': ' if decision.message else ''}{decision.message}"
            count = self._run.at(*key).run_count
            return PauseAnswered(key[0], count, now, decision.decision == APPROVE, key[1], reason)
        return None

    def _tried(self, decision: Decision, now: float) -> Found | None:
        """Carry out a mark, or say why a decision leads nowhere; None while it waits."""
        task = task_called(self._run.plan, decision.task)
        if task is None:
            self._close(decision)
            names = ", ".join(plan.slug for plan in self._run.plan.tasks if plan.parameter is None)
            return None, f'{decision.words}: there is no one task "{decision.task}"; the flow has {names}'
        found = self._run.tasks[task]
        is_mapped = self._run.plan.tasks[task].mapped
        if decision.map_index != UNMAPPED and is_mapped and found.children is None and not found.state.is_finished():
            return None  # it is not known yet how many there are
        if decision.decision in MARKS:
            self._close(decision)
            refusal = why_not_marked(self._run, task, decision.map_index)
            event = TaskMarked(task, now, decision.state, decision.map_index, decision.stored)
            return (None, f"{decision.words}: {refusal}") if refusal else (event, "")
        if decision.map_index == UNMAPPED and found.family is not None:
            if found.family.unfinished:
                return None
            refusal = f'all children of "{decision.task}" have ended already'
        else:
            refusal = why_not_marked(self._run, task, decision.map_index)
        if not refusal:
            return None
        self._close(decision)
        return None if decision in self._answered else (None, f"{decision.words}: {refusal}")

    def _close(self, decision: Decision) -> None:
        self._done[decision] += 1
        self._open.remove(decision)
