"""A task run's turn and its end, and what follows from them: who may be judged, who widens, when the run is over.

No recursion anywhere: chains may be long, and one failure may end all of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from headwater.core.states import Failed, Mapped, State, Success
from headwater.engine.events import UNMAPPED, Command, SubmitTask
from headwater.engine.judge import inputs_of, judge, upstream_states
from headwater.engine.release import read_by_child, read_by_task, release_unread
from headwater.engine.run import Key, Run, TaskRun


def submit(run: Run, key: Key, previous: State | None = None) -> SubmitTask:
    i, map_index = key
    task, plan = run.at(i, map_index), run.plan.tasks[i]
    task.run_count += 1
    return SubmitTask(
        i,
        task.run_count,
        inputs_of(run, i, map_index),
        map_index,
        previous=(previous or task.state) if plan.handled else None,
        upstream=upstream_states(run, i, map_index) if plan.checked else None,
        loop=task.loop,
        resumed=task.resumed,
        number=task.runs,
    )


def tell(run: Run, key: Key, state: State) -> SubmitTask:
    """Let the task's state handlers see a state before it is entered."""
    task = run.at(*key)
    task.run_count += 1
    task.uncounted += 1
    task.entering = state
    return SubmitTask(key[0], task.run_count, map_index=key[1], previous=task.state, enter=state, number=task.runs)


# A task and what follows from it


def _judged(run: Run, key: Key, commands: list[Command]) -> State | None:
    """A task run's turn has come: submit it, or return the state that it enters instead."""
    state, width = judge(run, *key)
    if state is None:
        commands.append(submit(run, key))
        return None
    if run.plan.tasks[key[0]].handled:
        commands.append(tell(run, key, state))
        return None
    if isinstance(state, Mapped):
        run.at(*key).length = width
    return state


def finish(run: Run, first: Key, state: State, at: float) -> list[Command]:
    """Finish a task run, and with it everything that can now never run. No recursion: chains may be long."""
    commands: list[Command] = []
    todo = [(first, state)]
    while todo:
        key, final = todo.pop()
        for ready in _close(run, key, final, at, commands):
            decided = _judged(run, ready, commands)
            if decided is not None:
                todo.append((ready, decided))
    if run.unfinished == 0 and run.finished_at is None:
        conclude(run, at)
    return commands


def _close(run: Run, key: Key, state: State, at: float, commands: list[Command]) -> Iterator[Key]:
    """Give a task run its final state; yield what may be judged by that."""
    i, map_index = key
    task = run.at(i, map_index)
    task.state = state
    if map_index != UNMAPPED:
        yield from _close_child(run, key, at, commands)
        return
    if isinstance(state, Mapped) and run.plan.tasks[i].mapped:
        yield from _open_children(run, i, at)
        if task.unfinished_children:
            return
    yield from _close_task(run, i, at, commands)


def _open_children(run: Run, i: int, at: float) -> Iterator[Key]:
    task = run.tasks[i]
    width = task.length if isinstance(task.length, int) else 0
    task.started_at = at
    task.unfinished_children = width
    readers = task.readers
    # One that could not be widened gives an order only, and is over.
    follows = [up for up in run.links[i].follows if run.tasks[up].children is not None]
    task.children = [TaskRun(readers=readers) for _ in range(width)]
    for index, child in enumerate(task.children):
        child.waiting_for = sum(not run.at(up, index).state.is_finished() for up in follows)
    for down in run.plan.tasks[i].downstream:
        if i in run.links[down].follows:
            yield from _one_less(run, (down, UNMAPPED))
    for index, child in enumerate(task.children):
        # One that was let go by what happened just now is judged already.
        if child.waiting_for == 0 and child.run_count == 0 and child.state.is_pending():
            yield (i, index)


def _close_child(run: Run, key: Key, at: float, commands: list[Command]) -> Iterator[Key]:
    i, index = key
    task = run.tasks[i]
    assert task.children is not None, "a child is one of its task's"
    task.children[index].finished_at = at
    task.unfinished_children -= 1
    commands += read_by_child(run, i, index)
    commands += release_unread(run, i, index)
    for down in run.plan.tasks[i].downstream:
        children = run.tasks[down].children
        if i in run.links[down].follows and children is not None and index < len(children):
            yield from _one_less(run, (down, index))
    if task.unfinished_children == 0:
        yield from _close_task(run, i, at, commands)


def _close_task(run: Run, i: int, at: float, commands: list[Command]) -> Iterator[Key]:
    task = run.tasks[i]
    task.finished_at = at
    run.unfinished -= 1
    commands += read_by_task(run, i)
    if task.children is None:
        commands += release_unread(run, i, UNMAPPED)
    for down in run.plan.tasks[i].downstream:
        # Who follows child by child was let go when the children came to be.
        if i not in run.links[down].follows or task.children is None:
            yield from _one_less(run, (down, UNMAPPED))


def _one_less(run: Run, key: Key) -> Iterator[Key]:
    task = run.at(*key)
    task.waiting_for -= 1
    if task.waiting_for == 0 and not task.given:
        yield key


# The end


def conclude(run: Run, at: float) -> None:
    """The reference tasks decide; a mapped one by its children."""
    run.finished_at = at
    states = [state for i in run.plan.reference for state in _deciding(run.tasks[i])]
    if any(state.is_failed() for state in states):
        run.state = Failed("Some reference tasks failed.")
    elif all(state.is_successful() for state in states):
        run.state = Success("All reference tasks succeeded.")
    else:
        run.state = Success("No reference tasks failed.")


def _deciding(task: TaskRun) -> list[State]:
    return [task.state] if task.children is None else [child.state for child in task.children]
