"""Who still reads which result. A result that nobody reads any more is released, unless the run keeps them all.

A task reads what its keyed edges name until it is finished for good, retries included. A child that alone reads the
upstream child of its own index lets that go with its own end, so that a wide map over a map needs little memory.
"""

from __future__ import annotations

from typing import Any

from headwater.engine.events import NO_REF, UNMAPPED, Command, ReleaseResult, ReleaseResults
from headwater.engine.run import UNOPENED, Run, TaskRun


def read_by_child(run: Run, i: int, index: int) -> list[Command]:
    """A child is finished: nobody else reads the children that it alone followed."""
    commands: list[Command] = []
    for up in run.links[i].aligned:
        commands += _read(run, up, index)
    return commands


def read_by_task(run: Run, i: int) -> list[Command]:
    """A task is finished, with all of its children."""
    if run.keep_results:
        return []
    commands: list[Command] = []
    width = len(run.tasks[i].children or [])
    for up in run.links[i].data:
        family = run.tasks[up].family
        if family is None:
            commands += _read(run, up, UNMAPPED)
            continue
        # Of those that were read one by one only what is beyond its own width is left.
        begin = width if up in run.links[i].aligned else 0
        refs = _read_all(run.tasks[up].children or [], begin)
        if refs:
            commands.append(ReleaseResults(up, refs))
        family.read_from.append(begin)
        family.gathered = None
    return commands


def _read_all(children: list[TaskRun], begin: int) -> list[Any]:
    """Children are read from an index on; return the results that nobody wants now."""
    refs = []
    for child in children[begin:]:
        if child is UNOPENED:
            continue
        child.readers -= 1
        if child.readers <= 0 and child.ref is not NO_REF and child.state.is_finished():
            refs.append(child.ref)
            child.ref = NO_REF
    return refs


def _read(run: Run, up: int, index: int) -> list[Command]:
    run.at(up, index).readers -= 1
    return release_unread(run, up, index)


def release_unread(run: Run, i: int, index: int) -> list[Command]:
    """Release a result that is there and that nobody wants."""
    task: TaskRun = run.at(i, index)
    if run.keep_results or task.readers > 0 or task.ref is NO_REF or run.plan.tasks[i].parameter is not None:
        return []
    if not task.state.is_finished():
        return []
    ref, task.ref = task.ref, NO_REF
    return [ReleaseResult(i, ref, index)]
