"""What somebody outside does to a run that is under way: cancel it, take a task run back, say how a task ends.

A cancelled run begins nothing more but what cleans up: the executor gives back what it has not begun, what waits for
its next run does not get one, and what has begun is let finish.
"""

from __future__ import annotations

from collections.abc import Iterator

from headwater.core.states import Cancelled
from headwater.engine.advance import finish
from headwater.engine.events import UNMAPPED, Command, Given, RunCancelled, SubmitTask, TaskMarked, TaskWithdrawn
from headwater.engine.run import UNOPENED, WAITING, Key, Run, TaskRun


def cancel(run: Run, event: RunCancelled) -> list[Command]:
    if run.cancelled or run.started_at is None or run.finished_at is not None:
        return []
    run.cancelled = event.reason
    commands: list[Command] = []
    for key in list(_waiting(run)):
        task = run.at(*key)
        if isinstance(task.state, WAITING):
            words = f"{_words(run)} It was {task.state.name}: {task.state.message or 'no reason given'}"
            commands += finish(run, key, Cancelled(words), event.at)
    return commands


def _waiting(run: Run) -> Iterator[Key]:
    """Yield task runs that wait for their next run, or for a person."""
    for i, task in enumerate(run.tasks):
        if run.plan.tasks[i].cleans_up:
            continue
        if task.children is None or task.family is None:
            if isinstance(task.state, WAITING):
                yield (i, UNMAPPED)
        elif any(task.family.counts.get(kind) for kind in WAITING):
            yield from ((i, index) for index, child in enumerate(task.children) if isinstance(child.state, WAITING))


def withdraw(run: Run, task: TaskRun, event: TaskWithdrawn) -> list[Command]:
    """It was submitted and is not begun: it never will be."""
    if task.run_count != event.run_count or task.state.is_finished() or isinstance(task.state, WAITING):
        return []
    return finish(run, (event.task, event.map_index), Cancelled(_words(run)), event.at)


def _words(run: Run) -> str:
    return f"Not begun: {run.cancelled or 'it was taken back'}."


def mark(run: Run, event: TaskMarked) -> list[Command]:
    """Finish a task, whatever it waits for. One that has children is not a task run: they are marked."""
    refusal = why_not_marked(run, event.task, event.map_index)
    if refusal or run.started_at is None:
        return []
    run.marked = True
    found = run.tasks[event.task]
    if event.map_index != UNMAPPED and found.children is not None and found.children[event.map_index] is UNOPENED:
        # It is found when its turn to be opened comes.
        one = Given(event.state, stored=event.stored)
        found.given_children = {**(found.given_children or {}), event.map_index: one}
        return []
    task = run.at(event.task, event.map_index)
    # Its turn does not come any more.
    task.given = True
    if event.stored is not None:
        task.stored = event.stored
    if task.started_at is None:
        task.started_at = event.at
    return finish(run, (event.task, event.map_index), event.state, event.at)


def is_marked(run: Run, command: SubmitTask) -> bool:
    """Whether a task run that was submitted has got its end by somebody's word meanwhile: it need not run."""
    return run.marked and run.at(command.task, command.map_index).state.is_finished()


def why_not_marked(run: Run, task: int, map_index: int) -> str:
    """Return why a task run cannot be marked any more, "" when it can be."""
    plan, found = run.plan.tasks[task], run.tasks[task]
    if plan.parameter is not None:
        return f'"{plan.slug}" is a parameter, not a task'
    if map_index == UNMAPPED:
        if found.children is not None:
            return f'"{plan.slug}" has {len(found.children)} children: name one by its mapIndex'
        return f'"{plan.slug}" has ended as {found.state.name} already' if found.state.is_finished() else ""
    if found.children is None:
        return f'"{plan.slug}" has no children' + (" yet" if plan.mapped and not found.state.is_finished() else "")
    if not 0 <= map_index < len(found.children):
        return f'"{plan.slug}" has children 0 to {len(found.children) - 1}, and no {map_index}'
    state = found.children[map_index].state
    return f'child {map_index} of "{plan.slug}" has ended as {state.name} already' if state.is_finished() else ""
