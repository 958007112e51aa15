"""What a run need not do again that goes on where an earlier one of the same flow ended. Pure.

That is what succeeded, as long as those that run again find in a store what they read of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from headwater.core import states
from headwater.core.errors import ResumeError
from headwater.core.states import State, Success
from headwater.engine.events import NO_REF, Given
from headwater.engine.inputs import UNMAPPABLE, Length
from headwater.engine.ledger import Entry, Ledger
from headwater.engine.plan import Plan, TaskPlan, depths, labels

# Makes the ref of a stored result of its address.
RefOf = Callable[[Any], Any]

SHOWN = 5


@dataclass(frozen=True)
class Marks:
    """What is marked before the run begins: whole tasks, and children of mapped ones. They do not run."""

    given: Mapping[int, Given]

    @property
    def whole(self) -> set[int]:
        return {i for i, given in self.given.items() if given.children is None}

    def children(self, i: int) -> set[int]:
        return set(self.given[i].children or ()) if i in self.given else set()

    def added_to(self, given: dict[int, Given]) -> dict[int, Given]:
        """Of a mapped task of which children are kept, others may be marked."""
        found = {**given, **self.given}
        for i, mark in self.given.items():
            before = given[i].children if i in given else None
            if mark.children is not None and before is not None:
                found[i] = replace(mark, children={**before, **mark.children})
        return found


def resume(
    ledger: Ledger,
    plan: Plan,
    ref_of: RefOf,
    again: Sequence[str] = (),
    marked: Mapping[int, Given] = MappingProxyType({}),
) -> dict[int, Given]:
    """Return what a run of *plan* is given of an earlier one: what succeeded and is not downstream of what runs again.

    What is *marked* is given too: it reads nothing, and what is downstream of it runs again. *again* are slugs of tasks
    that run again though they succeeded; so does one that was mapped and is not any more or the other way round, or
    whose result is mapped over now and was not then. Raises ResumeError when a task that runs again reads a result that
    was not stored, and names it.
    """
    ledger = {slug: entry for slug, entry in ledger.items() if _fits(entry, plan, slug)}
    unknown = [slug for slug in again if slug not in plan.slugs]
    if unknown:
        raise ResumeError(f'The flow has no task "{unknown[0]}"; there are {", ".join(sorted(plan.slugs))}.')
    marks = Marks(marked)
    chosen = {plan.slugs[slug] for slug in again} | marks.whole
    runs = _running_again(ledger, plan, chosen | set(marked))
    kept = _kept_children(ledger, plan, runs, chosen, marks)
    idle = marks.whole | {i for i in kept if _all_known(ledger[plan.tasks[i].slug], kept[i] | marks.children(i))}
    made_again = _made_again(ledger, plan, runs - idle)
    for i in made_again:
        kept.pop(i, None)
    active = runs | made_again
    missing = [name for i in sorted(active - idle) for name in _missing(ledger, plan, i, active, kept, marks)]
    if missing:
        names = ", ".join(f'"{name}"' for name in list(dict.fromkeys(missing))[:SHOWN])
        raise ResumeError(
            f"The results of {names} were not stored, and tasks that run again read them. Give the flow or these tasks "
            "a result, such as LocalResult, and checkpoint=True; this time run the flow anew."
        )
    # What is in the block of a resource that is set up again is not over before that is done.
    in_blocks = _downstream(plan, (i for i in made_again if plan.tasks[i].resource and not plan.tasks[i].cleans_up))
    given = {}
    for i, task in enumerate(plan.tasks):
        entry = ledger.get(task.slug)
        if entry is None or task.parameter is not None:
            continue
        if i in kept:
            children = {index: _given(entry.children[index], ref_of) for index in sorted(kept[i])}
            given[i] = Given(Success(), children=children)
        elif i not in active:
            given[i] = replace(_given(entry, ref_of), in_turn=i in in_blocks)
    return marks.added_to(given)


def _all_known(entry: Entry, indexes: set[int]) -> bool:
    """Whether no child of a task is left to run."""
    return entry.width is not None and indexes >= set(range(entry.width))


def _fits(entry: Entry, plan: Plan, slug: str) -> bool:
    """Whether an entry is of the shape that its task has in this plan, and tells the lengths that are asked for."""
    task = plan.tasks[plan.slugs[slug]] if slug in plan.slugs else None
    if task is None or task.mapped != entry.mapped:
        return False
    found = entry.children.values() if entry.width is not None else [entry]
    return all(_is_measured(one.length, task.measure) for one in found if one.stored is not None)


def _is_measured(length: Length, depth: int) -> bool:
    return depth == 0 or isinstance(length, tuple) or length == UNMAPPABLE or (depth == 1 and length is not None)


def _given(entry: Entry, ref_of: RefOf) -> Given:
    state: State = getattr(states, entry.state)(entry.message or "Task run succeeded.")
    if entry.stored is None:
        return Given(state, NO_REF, entry.length)
    # With its address: a run that goes on from this one finds it too.
    ref = ref_of(entry.stored)
    return Given(state, ref, entry.length, stored=ref)


def _running_again(ledger: Ledger, plan: Plan, again: set[int]) -> set[int]:
    """Return the tasks that run again, whole or in part, and all that is downstream of them."""
    runs = set(again)
    for i, task in enumerate(plan.tasks):
        entry = ledger.get(task.slug)
        if task.parameter is None and (entry is None or not entry.all_good):
            runs.add(i)
    return runs | _downstream(plan, runs)


def _downstream(plan: Plan, of: Iterable[int]) -> set[int]:
    found: set[int] = set()
    todo = list(of)
    while todo:
        for down in plan.tasks[todo.pop()].downstream:
            if down not in found:
                found.add(down)
                todo.append(down)
    return found


def _kept_children(ledger: Ledger, plan: Plan, runs: set[int], chosen: set[int], marks: Marks) -> dict[int, set[int]]:
    """Return for each mapped task which of its children need not run again: what they read is what it was."""
    kept: dict[int, set[int]] = {}
    found = depths(plan)
    for i in sorted(range(len(plan.tasks)), key=found.__getitem__):
        task, entry = plan.tasks[i], ledger.get(plan.tasks[i].slug)
        if entry is None or entry.width is None or not task.mapped or i in chosen:
            continue
        good = {index for index, child in entry.children.items() if child.good} - marks.children(i)
        for edge in task.edges:
            if edge.up in runs:
                one_by_one = edge.mapped and not edge.flattened
                good &= kept.get(edge.up, set()) if one_by_one else set()
        kept[i] = good
    return kept


def _made_again(ledger: Ledger, plan: Plan, runs: set[int]) -> set[int]:
    """Return tasks that run again though they succeeded and nothing upstream of them does, as what they gave is read.

    Automatic ones whose results are not stored, which are made of what they read; and those of a resource, which is
    set up anew for what runs again in its block, and cleaned up after that.
    """
    found: set[int] = set()
    todo = list(runs)
    while todo:
        i = todo.pop()
        for edge in plan.tasks[i].edges:
            up, task = edge.up, plan.tasks[edge.up]
            entry = ledger.get(task.slug)
            if edge.key is None or up in runs | found or entry is None:
                continue
            made = [up] if task.automatic and not _all_there(entry) else []
            if task.resource and not task.cleans_up:
                made = [up, *(down for down in task.downstream if _cleans_up(plan.tasks[down]))]
            found.update(made)
            todo += made
    return found - runs


def _cleans_up(task: TaskPlan) -> bool:
    return task.resource and task.cleans_up


def _all_there(entry: Entry) -> bool:
    return all(one.is_there for one in (entry.children.values() if entry.width is not None else [entry]))


def _missing(
    ledger: Ledger, plan: Plan, i: int, runs: set[int], kept: dict[int, set[int]], marks: Marks
) -> Iterator[str]:
    """Yield what a task that runs again reads of what does not, and that was not stored."""
    names = labels(plan)
    for edge in plan.tasks[i].edges:
        if edge.key is None or plan.tasks[edge.up].parameter is not None:
            continue
        entry = ledger.get(plan.tasks[edge.up].slug)
        if entry is None:
            continue
        if entry.width is None:
            if edge.up not in runs and not entry.is_there:
                yield names[edge.up]
            continue
        read = kept.get(edge.up, set())
        if edge.mapped and not edge.flattened:
            read = read - kept.get(i, set()) - marks.children(i)
        yield from (f"{names[edge.up]}[{index}]" for index in sorted(read) if not entry.children[index].is_there)
